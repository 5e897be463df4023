/**
 * Rows of a Django database, live, in any page:
 *
 *     <script type="module" src="/static/databinding/elements.js"></script>
 *     <live-value stream="pumps" pk="1" field="rpm" unit="rpm"></live-value>
 *     <live-chart stream="pumps" pk="1" field="rpm"></live-chart>
 *     <live-table stream="pumps"></live-table>
 *
 * Elements with the same address share one connection. What they take is in docs/reference/elements.md.
 */
import { LiveChart } from "./elements/chart.js";
import { LiveTable } from "./elements/table.js";
import { LiveValue } from "./elements/value.js";

export { LiveChart, LiveTable, LiveValue };
export { shared } from "./elements/shared.js";

for (const [name, element] of Object.entries({ "live-value": LiveValue, "live-table": LiveTable, "live-chart": LiveChart }))
  if (customElements.get(name) === undefined) customElements.define(name, element);
