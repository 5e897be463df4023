"""How the past is described in OpenAPI, beside the streams (`databinding.rest`)."""

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from databinding.rest.description import shared_answer
from values.samples.kinds import KINDS


class PastSchema(AutoSchema):
    """Of one of the views, which says what it is called and what it asks."""

    def get_operation_id(self):
        return f"values_{self.view.called}"

    def get_tags(self):
        return ["the past of the values"]

    def get_summary(self):
        return self.view.summary

    def get_override_parameters(self):
        found = [self.view.query_serializer]
        if "{stream}" in self.path:
            found.append(OpenApiParameter("stream", str, OpenApiParameter.PATH, enum=list(KINDS)))
        if "{pk}" in self.path:
            found.append(OpenApiParameter("pk", OpenApiTypes.INT64, OpenApiParameter.PATH))
        return found

    def get_response_serializers(self):
        error, invalid = (shared_answer(self.registry, name) for name in ("Error", "Invalid"))
        return {
            200: self.view.serializer_class,
            400: OpenApiResponse(invalid, "Invalid, by parameter."),
            401: OpenApiResponse(error, "Who isn't logged in may not do this."),
            403: OpenApiResponse(error, "Not permitted."),
            404: OpenApiResponse(error, "There is no such value for you, or no such format."),
            429: OpenApiResponse(error, "Too often; `Retry-After` says when."),
            406: OpenApiResponse(error, "There is no such representation."),
            503: OpenApiResponse(error, "The database is away or busy; try again."),
        }

    def get_auth(self):
        # The bindings say what nobody in particular may see.
        return [*super().get_auth(), {}]

    def _get_format_parameters(self):
        return []  # For browsers; programs say what they accept in the header.
