"""axe-core in a page: what is wrong with it for people who don't see it, or use keys alone."""

from tests.servers import CHECKOUT

AXE = CHECKOUT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
#: The rules of WCAG 2.2, level AA, and what axe calls best practice.
RUN = """async (exclude) => (await axe.run({ exclude: exclude.map((one) => [one]) }, {
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
})).violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])"""
#: But what goes on for as long as it is there.
SETTLED = """() => Promise.allSettled(document.getAnimations()
  .filter(({ effect }) => effect.getComputedTiming().endTime < Infinity)
  .map(({ finished }) => finished))"""


async def violations(page, without=()):
    """What axe finds wrong with the page, by rule, but in what these selectors match.

    Scripts of axe are inline, as are styles that it tries: open the page with ``bypass_csp=True``.
    """
    if not await page.evaluate("'axe' in window"):
        await page.add_script_tag(path=AXE)
    # What fades in or out has no contrast yet.
    await page.evaluate(SETTLED)
    return await page.evaluate(RUN, list(without))
