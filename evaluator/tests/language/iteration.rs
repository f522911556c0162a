//! Objects given to a file either have finite items, or refuse iteration.
//!
//! Python reads items 0, 1, 2 … of an object with `[…]` and without an iterator; if it answers all
//! of them, `list(…)` of it never ends.

use crate::harness::{evaluate, request};

/// `typing.Literal` counts up in `CPython` itself, and ends with the second of CPU time.
const SOURCE: &str = r#"
import collections, dataclasses, enum, functools, itertools, json, operator, re, string, textwrap, typing
from typing import (
    Any, Callable, ClassVar, Dict, Final, Generic, Iterable, List, NamedTuple, Optional, Tuple,
    Type, TypedDict, TypeVar, Union,
)

class Color(enum.Enum):
    RED = 1

def ends(value):
    try:
        for number, item in enumerate(value):
            if number > 1000:
                return False
    except (TypeError, AttributeError):
        pass
    return True

def workflow(ctx):
    step = Step.bash("a", "true")
    values = [
        type, type[int], type(type), object, int, super, property, print, getattr, isinstance, format, hash,
        collections, dataclasses, enum, functools, itertools, json, operator, re, string, textwrap, typing,
        Any, Callable, ClassVar, Dict, Dict[str, int], Final, Generic, Iterable, List, NamedTuple, Optional,
        Optional[int], Tuple, Type, Type[int], TypedDict, TypeVar, TypeVar("T"), Union, Union[int, str], list[int],
        Color, Color.RED, dataclasses.KW_ONLY, dataclasses.MISSING, dataclasses.field(), dataclasses.InitVar,
        Artifacts, Budget, Cache, Concurrency, Goto, Hooks, Input, Plan, Prompt, Retry, Service, Step, Trigger,
        ref, ref("a"), secret, secret("T"), step, Trigger.on_push(), ctx, ctx.event, ctx.inputs,
        Plan("x", steps=[step]), re.compile("a"), re.match("a", "a"), "text".join, ends, lambda: 1,
    ]
    for number, value in enumerate(values):
        if not ends(value):
            print("item", number, value, "never ends")
    return Plan("x", steps=[step])
"#;

#[test]
fn nothing_that_a_file_is_given_counts_up_for_ever() {
    let observed = evaluate(request("ci.plue.py", SOURCE.as_bytes()));
    assert!(
        matches!(observed.outcome, Some(plue_wire::eval::EvalOutcome::Plans(_))),
        "{observed:?}"
    );
    assert_eq!(observed.printed, "");
}
