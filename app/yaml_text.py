"""YAML read with limits: what a stranger's file can cost is bounded before anything is made of it."""

import yaml

from app.errors import UserError

LARGEST = 2**20  # bytes
DEEPEST = 64  # levels
MOST_VALUES = 20_000  # written
MOST_REPEATED = 1_000  # that aliases repeat
LONGEST_NUMBER = 100  # letters; Python takes minutes over millions, and prints 4,300 at most

_TAGS = {
    yaml.ScalarNode: ("str", "int", "float", "bool", "null"),
    yaml.SequenceNode: ("seq",),
    yaml.MappingNode: ("map",),
}
_PREFIX = "tag:yaml.org,2002:"
_WORDS = (_PREFIX + "timestamp", _PREFIX + "value")  # what looks like a date, and "=": words here


def read_yaml(text, where, remedy="correct the file"):
    """What a YAML text of one document holds: dicts with words as keys, lists, words, numbers, booleans, None.

    Dates are words: no config has them, and a folder may be called 2026-01-31.

    Args:
        text: String.
        where: What the error names: a file, or `--set KEY`.
        remedy: What to do about an error.

    Returns:
        The value; None of an empty text.

    Raises:
        UserError: If it is no YAML, too large, nested too deeply or repeated too often by aliases, if a key
            stands twice or is no word, or a value is none of those above; one line that says where.
    """
    if len(text) > LARGEST:
        raise UserError(f"{where}: larger than {LARGEST // 2**20} MB, which no config is; {remedy}")
    try:
        return _construct(text)
    except _RefusedError as error:
        raise UserError(f"{where}: {error}; {remedy}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML ({_one_line(error)}); {remedy}") from None


def shown(value, most=80):
    """A key or value for a message: long ones are cut.

    Args:
        value: Anything that can be printed.
        most: Letters.

    Returns:
        String.
    """
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def _construct(text):
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _RefusedError(Exception):
    """What is valid YAML and yet refused."""


class _Loader(yaml.SafeLoader):
    """Checks every value while the graph of nodes is composed, before any is constructed."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _WORDS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text):
        super().__init__(text)
        self._path = []
        self._depth = self._reached = 0
        self._written = self._repeated = 0
        self._extents = {}  # of finished nodes that have an anchor: values in them, levels

    def get_single_node(self):
        """The one document, or None."""
        self.get_event()
        if self.check_event(yaml.StreamEndEvent):
            return None
        document = self.compose_document()
        if not self.check_event(yaml.StreamEndEvent):
            line = self.peek_event().start_mark.line + 1
            raise _RefusedError(f"a second document begins at line {line}; one file is one config")
        return document

    def compose_node(self, parent, index):
        """A node, counted and checked."""
        named = isinstance(index, int | yaml.ScalarNode)
        if named:
            self._path.append(str(index) if isinstance(index, int) else index.value)
        self._depth += 1
        event = self.peek_event()
        node = self._aliased(parent, index) if isinstance(event, yaml.AliasEvent) else self._new(parent, index, event)
        self._depth -= 1
        if named:
            self._path.pop()
        return node

    def _aliased(self, parent, index):
        event = self.peek_event()
        if event.anchor not in self.anchors:
            self._refuse(event, f"'*{shown(event.anchor, 20)}' stands for nothing; no value before it has '&'")
        node = super().compose_node(parent, index)
        if id(node) not in self._extents:
            self._refuse(event, f"'*{shown(event.anchor, 20)}' contains itself")
        values, levels = self._extents[id(node)]
        self._repeated += values
        if self._repeated > MOST_REPEATED:
            self._refuse(event, f"aliases repeat more than {MOST_REPEATED:,} values")
        self._deepen(event, self._depth + levels - 1)
        return node

    def _new(self, parent, index, event):
        reached, self._reached = self._reached, self._depth
        before = self._written + self._repeated
        self._written += 1
        if self._written > MOST_VALUES:
            self._refuse(event, f"more than {MOST_VALUES:,} values")
        self._deepen(event, self._depth)
        node = super().compose_node(parent, index)
        if index is not None or not isinstance(parent, yaml.MappingNode):  # keys are checked where they are compared
            self._check(node, event)
        if event.anchor:
            values = self._written + self._repeated - before
            self._extents[id(node)] = values, self._reached - self._depth + 1
        self._reached = max(reached, self._reached)
        return node

    def _deepen(self, event, level):
        if level > DEEPEST:
            self._refuse(event, f"nested deeper than {DEEPEST} levels")
        self._reached = max(self._reached, level)

    def compose_mapping_node(self, anchor):
        """A mapping whose keys are words, each once."""
        node = super().compose_mapping_node(anchor)
        lines = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, "a key that is a list or a section; keys are words")
            if key.tag not in (_PREFIX + "str", _PREFIX + "merge"):
                self._refuse(key, f"the key '{shown(key.value, 40)}' is no word; put it in quotes if it is meant")
            if key.value in lines:
                twice = f"the key '{shown(key.value, 40)}' stands twice, at lines {lines[key.value]} and {line}"
                self._refuse(None, twice)
            lines[key.value] = line
        return node

    def _check(self, node, event):
        tag = node.tag.removeprefix(_PREFIX)
        if tag not in _TAGS[type(node)]:
            written = f"!!{tag}" if node.tag.startswith(_PREFIX) else node.tag
            self._refuse(event, f"the tag {shown(written, 40)} is unknown or fits no such value; remove it")
        if not isinstance(node, yaml.ScalarNode):
            return
        if any("\ud800" <= letter <= "\udfff" for letter in node.value):
            self._refuse(event, "half of a letter (an escape \\ud800 to \\udfff)")
        if tag in ("int", "float") and len(node.value) > LONGEST_NUMBER:
            self._refuse(event, f"a number of {len(node.value):,} digits")
        if tag in ("int", "float", "bool"):
            try:
                self.construct_object(node)
            except (ValueError, KeyError, IndexError, OverflowError):
                self._refuse(event, f"'{shown(node.value, 40)}' is no {tag}")

    def _refuse(self, at, what):
        path = shown(".".join(self._path), 60)
        line = f"line {at.start_mark.line + 1}: " if at is not None else ""
        raise _RefusedError(f"{f'{path}: ' if path else ''}{line}{what}")


def _one_line(error):
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return shown(" ".join(str(error).split()), 120)
    problem = " ".join(f"{error.problem or error.context}".split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {shown(problem, 100)}"
