"""Nobody races: ThreadSanitizer over mailbox and ring, at night over the whole core with its buses; and it can see one.

At night also the tests of these parts under AddressSanitizer and UndefinedBehaviorSanitizer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import need
from tests.sanitize.build import EXIT_REPORTED, MEMORY, THREADS, Sanitizer, build, in_tree, spoiled, unusable

MAILBOX, RING, LOOP = (f"cython_core/realtime/{name}" for name in ("mailbox", "ring", "loop"))
WIRE, CAN_BUS = "drivers/modbus/wire", "drivers/can/bus"
EVERYTHING = ("cython_core", "drivers")
# what touches memory that others write, or bytes that others send
TESTED = (
    *(f"tests/cython_core/test_{name}.py" for name in ("mailbox", "ring", "loop")),
    "tests/drivers/modbus",
    "tests/drivers/can",
)
PYTEST = ("-m", "pytest", "-x", "-s", "-p", "no:cacheprovider")  # -s: a process that is ended could not show its words
# an atomic operation of mailbox.pxd, and what one might have written without a thought of threads
STORE = ("#define v2g_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)", "#define v2g_store(p, v) (*(p) = (v))")
LOAD = ("#define v2g_load(p) __atomic_load_n((p), __ATOMIC_RELAXED)", "#define v2g_load(p) (*(p))")
# a value copied one word too far
BEYOND = ("(__pyx_v_target[__pyx_v_i]) = ", "(__pyx_v_target[__pyx_v_i + 62]) = ")


def built(tmp_path_factory: pytest.TempPathFactory, sanitizer: Sanitizer, *modules: str) -> Path:
    why_not = unusable(sanitizer)
    if why_not:
        need.missing(f"-fsanitize={sanitizer.flag}", why_not)
    tree = tmp_path_factory.mktemp("sanitized")
    build(tree, sanitizer, modules)
    return tree


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mailbox and ring."""
    return built(tmp_path_factory, THREADS, MAILBOX, RING)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every compiled module."""
    return built(tmp_path_factory, THREADS, *EVERYTHING)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every compiled module, each access to memory checked."""
    return built(tmp_path_factory, MEMORY, *EVERYTHING)


def races(tree: Path, scene: str, sanitizer: Sanitizer = THREADS) -> list[str]:
    """Where ThreadSanitizer saw one while the scene was played: file:line in function."""
    done = in_tree(tree, sanitizer, "-m", "tests.sanitize.scenes", scene)
    begin = "SUMMARY: ThreadSanitizer: data race "
    found = sorted({line.removeprefix(begin) for line in done.stderr.splitlines() if line.startswith(begin)})
    assert done.returncode == (EXIT_REPORTED if found else 0), done.stderr
    assert done.stdout or found, "the scene was not played to its end"
    print(f"{scene}: {done.stdout.strip()}, {found}")
    return found


def first_race(tree: Path, module: str, plain: tuple[str, str], scene: str) -> list[str]:
    """The first one that is seen when a module does without an atomic operation."""
    with spoiled(tree, THREADS, module, *plain):
        return races(tree, scene, THREADS.stopping_at_the_first())


@pytest.mark.parametrize("scene", ["mailbox", "ring"])
def test_no_race_on_a_mailbox_or_a_ring(memory: Path, scene: str) -> None:
    assert races(memory, scene) == []


# fmt: off
RACY = [
    # module   instead of   scene       why
    (MAILBOX,  STORE,       "mailbox",  "a writer that just assigns"),
    (RING,     LOAD,        "ring",     "a reader that just looks"),
]
RACY_CORE = [
    (LOOP,     STORE,       "core",     "the loop's counters"),
    (WIRE,     STORE,       "core",     "a bus's counters"),
    (CAN_BUS,  STORE,       "can",      "the end of a CAN bus"),
]
# fmt: on


@pytest.mark.parametrize(("module", "plain", "scene", "why"), RACY, ids=[c[-1] for c in RACY])
def test_a_race_is_seen(memory: Path, module: str, plain: tuple[str, str], scene: str, why: str) -> None:
    (found,) = first_race(memory, module, plain, scene)
    assert found.startswith(f"{module}.c:"), why


@pytest.mark.nightly
@pytest.mark.parametrize("scene", ["core", "line", "can"])
def test_no_race_between_loop_buses_and_python(everything: Path, scene: str) -> None:
    assert races(everything, scene) == []


@pytest.mark.nightly
@pytest.mark.parametrize(("module", "plain", "scene", "why"), RACY_CORE, ids=[c[-1] for c in RACY_CORE])
def test_a_race_in_the_core_is_seen(
    everything: Path, module: str, plain: tuple[str, str], scene: str, why: str
) -> None:
    (found,) = first_race(everything, module, plain, scene)
    assert found.startswith(f"{module}.c:"), why


@pytest.mark.nightly
def test_nothing_reaches_beyond_its_memory(checked: Path) -> None:
    done = in_tree(checked, MEMORY, *PYTEST, *TESTED, timeout_s=600.0)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.nightly
def test_a_word_too_far_is_seen(checked: Path) -> None:
    with spoiled(checked, MEMORY, MAILBOX, *BEYOND):
        done = in_tree(checked, MEMORY, *PYTEST, TESTED[0])
    assert done.returncode != 0
    assert "AddressSanitizer: stack-buffer-overflow" in done.stdout + done.stderr
