"""The page of guarantees says what the suites say."""

from tests.guarantees import COMMAND, ENGINES, PAGE, STORES, kept, lacking, sentence, suites, written
from umbel.testing import conformance


def test_the_page_of_guarantees_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert page == written(page), f"run {COMMAND}"


def test_a_page_that_says_anything_else_is_found_out() -> None:
    page = PAGE.read_text()
    changed = page.replace("* An ended job is gone.\n", "")
    assert changed != page
    assert written(changed) == written(page)


def test_a_sentence_is_the_name_of_its_test() -> None:
    assert sentence("test_an_ended_job_is_gone") == "An ended job is gone."


def test_every_suite_that_is_exported_is_on_the_page() -> None:
    on_the_page = {test for suite in suites() for test in suite.sentences}
    exported = [getattr(conformance, name) for name in conformance.__all__]
    assert {test for suite in exported for test in dir(suite) if test.startswith("test_")} <= on_the_page


def test_every_engine_runs_tests() -> None:
    assert [where for where in (*ENGINES.values(), *STORES.values()) if not kept(where)] == []


def test_a_sentence_that_an_engine_does_not_run_is_told() -> None:
    (settling,) = (suite for suite in suites() if suite.name == "settling")
    more = settling._replace(sentences={**settling.sentences, "test_that_nobody_runs": ""})
    assert lacking(more)["test_that_nobody_runs"] == list(ENGINES)
    assert "test_an_ended_job_is_gone" not in lacking(more)
