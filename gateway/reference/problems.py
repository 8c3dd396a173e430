"""The refusals of a `/v1` route for the OpenAPI document: what each status means, always as a problem document."""

from collections.abc import Mapping

from litestar.openapi.datastructures import ResponseSpec

from gateway.rendering import PROBLEM_TYPE, Problem


def problems(meanings: Mapping[int, str]) -> dict[int, ResponseSpec]:
    """The response of each status, from what it means in words."""
    return {
        status: ResponseSpec(data_container=Problem, description=meaning, media_type=PROBLEM_TYPE)
        for status, meaning in meanings.items()
    }
