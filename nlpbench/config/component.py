"""Tasks, metrics and compression methods: typed, frozen, and found by the name of their file."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from nlpbench.config import registry
from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem, flatten, show, suggest


class Section(BaseModel):
    """A mapping of the YAML file: strict types, no unknown keys, no change after loading."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    shorthand: ClassVar[str | None] = None  # the key that a bare string stands for

    @model_validator(mode="wrap")
    @classmethod
    def tell_in_our_words(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            raise Invalid(*flatten(error, cls.model_fields)) from None

    @model_validator(mode="before")
    @classmethod
    def spell_out(cls, values: Any) -> Any:
        if cls.shorthand is None or isinstance(values, dict | Section):
            return values
        if isinstance(values, str):
            return {cls.shorthand: values}
        message = f"must be a string or a mapping (got {show(values)})"
        raise Invalid(Problem((), message))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        found = handler(schema)
        if cls.shorthand is None:
            return found
        short = {"type": "string", "description": cls.model_fields[cls.shorthand].description}
        return {"anyOf": [short, found]}


class Component(Section):
    """A registered class whose fields are its YAML options.

    `name` is the file's name with hyphens (`balanced_accuracy.py` is `balanced-accuracy`); a
    component of another package bears the name of its entry point.
    """

    name: str = Field("", description="its name, as in nlpbench list")
    kind: ClassVar[str]
    after_colon: ClassVar[str | None] = None  # the key that REST stands for in `NAME:REST`

    @classmethod
    def yaml_name(cls) -> str:
        return cls.__module__.rpartition(".")[2].replace("_", "-")

    @model_validator(mode="before")
    @classmethod
    def fill_in_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and "name" not in values:
            return {"name": cls.yaml_name(), **values}
        return values

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]


class ComponentField:
    """Annotation of a field that holds a component of one kind, written `NAME` or `{name: NAME, …}`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def build(self, value: Any) -> Any:
        if isinstance(value, Component):
            return value
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict):
            message = f"must be the name of a {self.kind} or a mapping (got {show(value)})"
            raise Invalid(Problem((), message))
        name = value.get("name")
        if name is None:
            raise Invalid(Problem((), "needs the key name", at_key=True))
        head, colon, rest = str(name).partition(":")
        if head not in registry.names(self.kind):
            advice = suggest(head, registry.names(self.kind))
            raise Invalid(Problem(("name",), f"unknown {self.kind} (got {show(name)})", advice))
        try:
            component = registry.load(self.kind, head)
        except UserError as error:
            raise Invalid(Problem(("name",), str(error))) from error
        if colon:
            value = {**value, **self._spelled_out(component, name, rest, value)}
        return component.model_validate(value)

    def _spelled_out(
        self, component: type[Component], name: str, rest: str, value: dict[str, Any]
    ) -> dict[str, str]:
        """The name and the key of a component that is written `NAME:REST`."""
        head, key = component.yaml_name(), component.after_colon
        if key is None:
            message = f"{head} takes nothing after a colon (got {show(name)})"
            raise Invalid(Problem(("name",), message, f"write {head}"))
        if key in value:
            advice = f"keep one of {name} and {key}"
            raise Invalid(Problem((key,), "stands in the name too", advice, at_key=True))
        return {"name": head, key: rest}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        annotated = Annotated[
            source,
            BeforeValidator(self.build),
            PlainSerializer(lambda component: component.model_dump(mode="json"), return_type=dict),
        ]
        return handler.generate_schema(annotated)  # type: ignore[no-any-return]

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        choices: list[JsonSchemaValue] = [
            {"type": "string", "enum": list(registry.names(self.kind))}
        ]
        for name in registry.names(self.kind):
            component = registry.load(self.kind, name)
            choice = _without_references(component.model_json_schema(mode="validation"))
            choice["properties"]["name"] = {"const": name, "description": component.summary()}
            choice["required"] = ["name", *choice.get("required", [])]
            choices.append(choice)
            if component.after_colon is not None:
                choices += _after_colon(choice, name, component.after_colon)
        return {"anyOf": choices}


def _without_references(schema: JsonSchemaValue) -> JsonSchemaValue:
    """The same schema with its definitions in place, so that it can stand inside another one."""
    definitions = schema.pop("$defs", {})

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(item) for item in value]
        if not isinstance(value, dict):
            return value
        found = {key: filled(item) for key, item in value.items() if key != "$ref"}
        if "$ref" not in value:
            return found
        return {**filled(definitions[value["$ref"].rpartition("/")[2]]), **found}

    filled_in: JsonSchemaValue = filled(schema)
    return filled_in


def _after_colon(choice: JsonSchemaValue, name: str, key: str) -> list[JsonSchemaValue]:
    """The schemas of `NAME:REST` by itself and as the name in a mapping without the key."""
    text = {
        "type": "string",
        "pattern": f"^{name}:.",
        "description": choice["properties"][key]["description"],
    }
    properties = {**choice["properties"], "name": text}
    del properties[key]
    required = [needed for needed in choice["required"] if needed != key]
    return [text, {**choice, "properties": properties, "required": required}]
