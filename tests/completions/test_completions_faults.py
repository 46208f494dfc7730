"""Against a server that misbehaves: every prompt ends, nothing is paid for twice, no key shows, budgets hold."""

import collections
import gzip
import json
import logging
import math
import random
import re
import time
import traceback
import tracemalloc
import warnings
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import openai
import pytest
from hypothesis import given, settings, strategies as st

import routerlab as rl
from routerlab.completions import (
    EndpointRefused,
    Failure,
    JournalError,
    Request,
    RunReport,
    Seen,
    account,
    read_reply,
    retry_after,
    run_requests,
    scrub,
    wait_s,
)
from routerlab.completions._journal import Journal
from tests.llm_server import FREE, LOST, REFUSALS, LLMServer, default_reply
from tests.raw_server import RawServer, completion, http

PRICE = (1.0, 2.0)


def requests(n, **params):
    params = {"max_tokens": 200, **params}
    return [
        Request("m", [{"role": "user", "content": f"prompt {k}"}], params, {"prompt_id": k}, f"response to {k}")
        for k in range(n)
    ]


def run(server, asked, path, **options):
    base = {"client": server and server.client(), "progress": False, "backoff_s": 0.01, "random_state": 0}
    return run_requests(asked, {"m": rl.Endpoint("m", price=PRICE)}, path=path / "run.jsonl", **{**base, **options})


def quiet(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rl.CollectionWarning)
        return run(*args, **options)


def right_text(record):
    body = {"model": "m", "messages": [{"content": f"prompt {record['prompt_id']}"}]}
    return record["text"] == default_reply(body)


@pytest.mark.slow
def test_two_thousand_requests_with_twenty_percent_faults(tmp_path):
    kinds = ["429", "429_date", "500", "503", "html", "cut", "cut_before", "malformed", "empty", "error_in_body"]
    faults = {kind: 0.017 for kind in kinds} | {"drip": 0.01, "duplicate": 0.017, "timeout": 0.003}
    assert sum(faults.values()) == pytest.approx(0.2)
    with LLMServer(faults=faults, prices=PRICE, seed=1) as server:
        asked = requests(2000)
        result = run(server, asked, tmp_path, concurrency=32, timeout_s=6.0, max_attempts=8, budget_usd=1.0)
        n_asked = len(server.asked)
        again = run(server, asked, tmp_path, concurrency=32)
        assert len(server.asked) == n_asked
    met = collections.Counter(ask.fault for ask in server.asked)
    assert set(met) == {*faults, None}

    # Every prompt ends with a response or a recorded error; each response is the one to its own prompt.
    assert [r["prompt_id"] for r in result.records] == list(range(2000))
    assert all(r["text"] or r["error"] for r in result.records)
    assert sum(r["error"] is None for r in result.records) >= 1999
    assert all(right_text(r) for r in result.records if r["error"] is None)
    assert again.records == result.records

    # None is asked for again after its reply came.
    last = {}
    for ask in server.asked:
        usable = ask.delivered and ask.fault != "empty"
        assert not last.get(ask.prompt), "asked again after success"
        last[ask.prompt] = usable

    # The money counted is the money of what the server delivered, to the last digit of a sum.
    report = result.report
    assert report.spent_usd == pytest.approx(server.delivered_usd, rel=1e-12)
    assert report.spent_usd == pytest.approx(sum(r["spent_usd"] for r in result.records), rel=1e-12)
    # What was billed and lost on the way is counted, and bounded.
    lost = [ask for ask in server.asked if ask.shifted or ask.fault in (*LOST, "cut_before")]
    # A connection that is given up may take a request with it that had not reached the server.
    spare = met["duplicate"]
    assert len(lost) <= report.n_maybe_billed <= len(lost) + spare
    assert server.billed_usd - server.delivered_usd <= report.maybe_billed_usd
    assert n_asked <= report.n_attempts <= n_asked + spare
    assert server.most_in_flight <= 32


def test_a_reply_that_comes_twice_is_not_taken_for_the_next_requests(tmp_path):
    def script(ask):
        return "duplicate" if ask.number % 3 == 1 else None

    with LLMServer(script=script, prices=PRICE) as server:
        result = run(server, requests(40), tmp_path, concurrency=2, max_attempts=8)
    assert all(map(right_text, result.records))
    assert sum(ask.fault == "duplicate" for ask in server.asked) > 10
    assert result.report.spent_usd == pytest.approx(server.delivered_usd, rel=1e-12)


def test_only_the_same_reply_to_another_request_came_again():
    name, seen = "chatcmpl-0123456789abcdef0123", Seen()
    cached = [seen.again(name, b"prompt 1", b"A") for _ in range(3)]
    assert [*cached, seen.again(name, b"prompt 2", b"A")] == [False, False, False, True]
    constant = Seen()  # an id that comes with two replies is a placeholder
    asked = [(b"prompt 1", b"A"), (b"prompt 2", b"B"), (b"prompt 3", b"B"), (b"prompt 2", b"B"), (b"prompt 4", b"A")]
    assert not any(constant.again(name, request, reply) for request, reply in asked)
    assert not any(Seen().again("chatcmpl-1", request, b"A") for request in (b"prompt 1", b"prompt 2"))
    assert not any(Seen().again(None, request, b"A") for request in (b"prompt 1", b"prompt 2"))


# Which errors are repeated.


@pytest.mark.parametrize("fault", ["429", "429_date", "500", "503", *FREE, "cut", "malformed", "empty"])
def test_what_may_pass_is_tried_again(tmp_path, fault):
    with LLMServer(script=lambda ask: fault if ask.nth <= 2 else None, prices=PRICE) as server:
        (record,) = run(server, requests(1), tmp_path).records
    assert (record["error"], record["attempts"], len(server.asked)) == (None, 3, 3)
    assert right_text(record)
    # An empty reply is billed, and says so: it is money spent, and not the cost of the response.
    assert record["spent_usd"] == pytest.approx(server.delivered_usd, rel=1e-12)
    assert (record["spent_usd"] > record["cost_usd"]) == (fault == "empty")
    assert (record["unsure_usd"] > 0) == (fault in LOST or fault == "cut_before")


@pytest.mark.parametrize("fault", ["400", "403"])
def test_a_refused_request_is_not_repeated_and_stops_nothing(tmp_path, fault):
    with LLMServer(script=lambda ask: fault if ask.prompt == "prompt 1" else None, prices=PRICE) as server:
        with pytest.warns(rl.CollectionWarning, match="1 of 4 requests failed"):
            result = run(server, requests(4), tmp_path)
    assert len(server.asked) == 4
    assert f"HTTP {fault}" in result.records[1]["error"]
    assert all(right_text(r) for r in result.records if r["prompt_id"] != 1)


@pytest.mark.parametrize(
    ("fault", "advice"), [("401", "Check the key"), ("402", "Add credit"), ("quota", "Add credit to the account")]
)
def test_a_refused_account_stops_the_run_early(tmp_path, fault, advice):
    with LLMServer(script=lambda ask: fault if ask.number > 20 else None, prices=PRICE) as server:
        with pytest.raises(
            EndpointRefused, match=rf"{advice}.* The run stopped: \d+ of 120 replies are in .*run again"
        ):
            run(server, requests(120), tmp_path, concurrency=4)
        n_asked = len(server.asked)
        assert 20 < n_asked <= 20 + 4
        server.script = None
        result = run(server, requests(120), tmp_path, concurrency=16)
    assert len(server.asked) - n_asked == 120 - 20
    assert all(map(right_text, result.records))


def test_a_wrong_key_at_one_provider_is_no_matter_if_another_serves_the_model(tmp_path):
    with LLMServer(api_key="sk-right-0123456789", prices=PRICE) as server:
        wrong = server.client(api_key="sk-wrong-0123456789")
        models = {"m": [rl.Endpoint("m", wrong, price=PRICE), rl.Endpoint("m", server.client(), price=PRICE)]}
        with pytest.warns(rl.CollectionWarning, match=r"Nothing more was sent to m at .*HTTP 401 .*Check the key"):
            result = run_requests(requests(30), models, path=tmp_path / "r", progress=False, concurrency=2)
    assert all(map(right_text, result.records))
    assert len(server.asks(fault="401")) <= 2


def test_a_slow_drip_is_given_up_after_the_time_out(tmp_path):
    with LLMServer(script=lambda ask: "drip" if ask.nth == 1 else None, drip_s=20.0, prices=PRICE) as server:
        started = time.perf_counter()
        (record,) = run(server, requests(1), tmp_path, timeout_s=0.5).records
    assert time.perf_counter() - started < 10
    assert record["attempts"] == 2 and right_text(record) and record["unsure_usd"] > 0


def test_a_failure_says_what_happened_at_each_endpoint(tmp_path):
    with LLMServer(script=lambda ask: "500", prices=PRICE) as server, LLMServer() as gone:
        away = gone.client()
        gone.stop()
        models = {"m": [rl.Endpoint("m", server.client(), price=PRICE), rl.Endpoint("m2", away, price=PRICE)]}
        with pytest.warns(rl.CollectionWarning, match="1 of 1 requests failed"):
            (record,) = run_requests(
                requests(1), models, path=tmp_path / "r", progress=False, max_attempts=2, backoff_s=0.01
            ).records
    assert record["attempts"] == 4
    assert f"m at 127.0.0.1:{server.port}: HTTP 500" in record["error"]
    assert re.search(rf"m2 at 127\.0\.0\.1:{gone.port}: cannot connect .* \(attempt 2 of 2\)", record["error"])


# Waiting.


def test_retry_after_is_honoured_by_every_slot(tmp_path):
    with LLMServer(script=lambda ask: "429" if ask.number == 1 else None, retry_after="1", prices=PRICE) as server:
        started = time.perf_counter()
        result = run(server, requests(4), tmp_path, concurrency=1)
        assert time.perf_counter() - started >= 1.0
    assert [r["attempts"] for r in result.records] == [2, 1, 1, 1]


def test_a_wait_longer_than_ours_goes_to_the_next_provider_at_once(tmp_path):
    with LLMServer(script=lambda ask: "429" if ask.model == "m" else None, retry_after="900", prices=PRICE) as server:
        models = {"m": [rl.Endpoint("m", price=PRICE), rl.Endpoint("m2", price=PRICE)]}
        started = time.perf_counter()
        (record,) = run_requests(
            requests(1), models, path=tmp_path / "r", client=server.client(), progress=False, max_wait_s=30
        ).records
    assert time.perf_counter() - started < 10
    assert record["attempts"] == 2 and record["served_by"].startswith("m2 at")


@settings(deadline=None)
@given(
    st.integers(1, 60), st.one_of(st.none(), st.floats(0, 1e6)), st.floats(0, 10), st.floats(0, 100), st.integers(0, 9)
)
def test_waits_are_jittered_bounded_and_never_shorter_than_asked(n_failed, asked, backoff_s, max_wait_s, seed):
    wait = wait_s(n_failed, asked, random.Random(seed), backoff_s=backoff_s, max_wait_s=max_wait_s)
    assert min(asked or 0.0, max_wait_s) <= wait <= max_wait_s
    assert wait <= (asked or 0.0) + backoff_s * 2.0 ** min(n_failed - 1, 30) * (1 + 1e-9)


def test_jitter_is_full_so_that_clients_spread_out():
    waits = [wait_s(4, None, random.Random(seed), backoff_s=1.0, max_wait_s=60.0) for seed in range(400)]
    assert min(waits) < 0.5 and max(waits) > 7.5
    assert sum(waits) / 400 == pytest.approx(4.0, abs=0.5)  # uniform on [0, 8]: a standard error of 0.12


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 25 Nov 2026 12:00:05 GMT"}, 5.0),
        ({"retry-after": "Wed, 25 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers, seconds):
    assert retry_after(headers, datetime(2026, 11, 25, 12, tzinfo=UTC)) == seconds


# The budget.


@pytest.mark.parametrize("budget_usd", [0.0, 0.0007, 0.003, 0.01])
def test_the_budget_is_never_passed_whatever_happens(tmp_path, budget_usd):
    faults = {"cut": 0.1, "malformed": 0.1, "empty": 0.1, "500": 0.1}
    with LLMServer(faults=faults, prices=PRICE) as server:
        with pytest.warns(rl.CollectionWarning, match=r"not asked: the budget of .* USD is used up: raise budget_usd"):
            result = run(server, requests(400), tmp_path, budget_usd=budget_usd, concurrency=8)
    assert server.billed_usd <= budget_usd
    report = result.report
    assert report.spent_usd + report.maybe_billed_usd <= budget_usd
    assert report.n_answered + report.n_failed + report.n_left_out == 400
    left_out = [r for r in result.records if r["attempts"] == 0]
    assert len(left_out) == report.n_left_out > 0
    assert all(r["error"].startswith("not asked: the budget") for r in left_out)
    # It is used, too: what is left does not cover the most that one more request can cost.
    assert report.spent_usd + report.maybe_billed_usd > budget_usd - 0.0007
    # What was asked comes before what was left out, give or take the slots.
    assert min(r["prompt_id"] for r in left_out) >= report.n_answered + report.n_failed - 8


def test_a_budget_is_for_the_journal_and_a_higher_one_goes_on(tmp_path):
    with LLMServer(prices=PRICE) as server:
        first = quiet(server, requests(60), tmp_path, budget_usd=0.002)
        n_asked = len(server.asked)
        second = quiet(server, requests(60), tmp_path, budget_usd=0.002)
        assert len(server.asked) == n_asked and second.report.n_left_out == first.report.n_left_out > 0
        assert second.report.spent_before_usd == pytest.approx(first.report.spent_usd)
        last = run(server, requests(60), tmp_path, budget_usd=1.0)
    assert all(map(right_text, last.records)) and len(server.asked) == 60
    assert last.report.spent_usd + last.report.spent_before_usd == pytest.approx(server.billed_usd)


def test_a_reply_without_usage_counts_with_the_most_it_can_have_cost(tmp_path):
    with LLMServer(script=lambda ask: "no_usage", prices=PRICE) as server:
        result = quiet(server, requests(60), tmp_path, budget_usd=0.005)
    assert server.billed_usd <= result.report.maybe_billed_usd <= 0.005
    assert result.report.spent_usd == 0 and result.report.n_unpriced == result.report.n_answered > 0
    assert all(math.isnan(r["cost_usd"]) for r in result.records)


def test_a_provider_that_ignores_max_tokens_is_reported(tmp_path):
    with LLMServer(prices=(1.0, 900.0), carries_cost=True) as server:
        with pytest.warns(rl.CollectionWarning, match="the budget was passed by that"):
            run(server, requests(30), tmp_path, budget_usd=0.004, concurrency=1)


def test_a_budget_below_what_the_journal_cost_before_blames_no_reply(tmp_path):
    with LLMServer(prices=PRICE) as server:
        before = run(server, requests(4), tmp_path).report.spent_usd
        n_asked, small = len(server.asked), before / 2
        again = run(server, requests(4), tmp_path, budget_usd=small)  # nothing is missing: no warning
        with pytest.warns(
            rl.CollectionWarning, match=r"2 were not asked.* already cost 0\.\d+ USD in earlier runs, more"
        ) as w:
            more = run(server, requests(6), tmp_path, budget_usd=small)
        assert len(server.asked) == n_asked
    assert again.report.problems() == [] and more.report.n_left_out == 2
    assert not any("A reply cost more" in str(one.message) for one in w)


@settings(deadline=None)
@given(
    st.one_of(
        st.none(),
        st.dictionaries(
            st.sampled_from(["prompt_tokens", "completion_tokens", "cost", "is_byok", "cost_details"]),
            st.one_of(st.none(), st.booleans(), st.integers(-5, 10**6), st.floats(), st.text(max_size=4)),
        ),
    )
)
def test_an_account_is_a_number_or_empty_whatever_the_usage(usage):
    result = account(usage, rl.Endpoint("m", price=PRICE))
    for value in result[:3]:
        assert math.isnan(value) or (math.isfinite(value) and value >= 0)
    assert (result.cost_source is None) == math.isnan(result.cost_usd)


def test_a_request_on_ones_own_provider_key_costs_the_fee_and_what_the_provider_charges():
    usage = {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}
    assert account(usage, rl.Endpoint("m")).cost_usd == pytest.approx(0.21)


# Replies.

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["choices", "message", "content", "usage", "error", "finish_reason", "id", "code"]), inner
        ),
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())))
def test_every_body_is_a_reply_or_a_failure(content):
    outcome = read_reply(content)
    if isinstance(outcome, Failure):
        assert outcome.message
    else:
        assert isinstance(outcome.text, str)


def test_refusals_and_filters_are_recorded(tmp_path):
    body = {"choices": [{"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}]}
    assert read_reply(json.dumps(body).encode()).text == "I cannot."
    with LLMServer(script=lambda ask: "filter", prices=PRICE) as server:
        with pytest.warns(
            rl.CollectionWarning, match="1 was stopped by the provider's content filter. 1 response is empty"
        ):
            table = rl.collect_responses(
                ["a"], ["m"], path=tmp_path / "r", client=server.client(), prices={"m": PRICE}, progress=False
            )
    assert table.loc[0, ["response", "finish_reason", "error"]].tolist() == ["", "content_filter", None]


# Keys.

KEYS = ["sk-planted-0123456789abcdef", "plainly-no-key-shape-42", "9f8e7d6c5b4a39281706f5e4d3c2b1a0"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("fault", sorted(REFUSALS))
def test_a_key_that_the_server_repeats_shows_nowhere(tmp_path, capsys, caplog, key, fault):
    caplog.set_level(logging.DEBUG)
    shown = []
    with LLMServer(script=lambda ask: fault, prices=PRICE) as server, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = server.client(api_key=key)
        endpoint = rl.Endpoint("m", client, price=PRICE)
        shown.append(repr(endpoint))
        try:
            result = run_requests(requests(2), {"m": endpoint}, path=tmp_path / "r", max_attempts=2, backoff_s=0.01)
            shown += [repr(result), str(result.report), result._repr_html_(), repr(result.records)]
        except EndpointRefused as error:
            chain = [error, error.__cause__, error.__context__]
            shown += [repr(e) for e in chain] + ["".join(traceback.format_exception(error))]
            assert fault in ("401", "402", "quota")
    assert {ask.headers["authorization"] for ask in server.asked} == {f"Bearer {key}"}
    shown += [str(w.message) for w in caught] + [str(w) for w in caught]
    captured = capsys.readouterr()
    shown += [captured.out, captured.err, caplog.text, (tmp_path / "r").read_text()]
    assert not [text for text in shown if key in text]
    assert any("[key]" in text for text in shown) or "{key}" not in REFUSALS[fault][2]


def test_a_key_that_a_function_makes_shows_nowhere_either(tmp_path):
    keys = iter(f"made-up-key-number-{k}" for k in range(99))
    with LLMServer(script=lambda ask: "500", prices=PRICE) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key=lambda: next(keys))
        result = quiet(server, requests(3), tmp_path, client=client, max_attempts=2)
    assert len({ask.headers["authorization"] for ask in server.asked}) == 6
    assert "made-up-key" not in repr(result.records) and "[key]" in repr(result.records)


def test_keys_in_headers_addresses_and_half_masked_are_scrubbed():
    assert scrub("https://user:hunter2@host/v1?key=abc123&x=1") == "https://[key]@host/v1?key=[key]&x=1"
    assert scrub("Incorrect API key provided: sk-ab***********wxyz. See") == "Incorrect API key provided: [key] See"
    assert scrub("Authorization: Bearer eyJhbGciOi.x.y, retry") == "Authorization: [key], retry"
    assert scrub("The task-oriented risk-free desk-based answer") == "The task-oriented risk-free desk-based answer"
    assert len(scrub("x" * 9000)) == 500


def test_placeholder_keys_mangle_no_words(tmp_path):
    assert (
        scrub("Check the key of model none", ["k", "model", "none", "", "elevenchars"]) == "Check the key of model none"
    )
    assert scrub("no access for twelve-chars", ["twelve-chars"]) == "no access for [key]"
    for key in ("k", "model", "none"):
        with LLMServer(script=lambda ask: "404") as server:
            with pytest.warns(rl.CollectionWarning, match=r"Check the model's name at this provider"):
                run(server, requests(1), tmp_path / key, client=server.client(api_key=key))
    client = openai.OpenAI(
        base_url="https://user:hunter2@example.org/v1", api_key="k", default_headers={"api-key": "s3"}
    )
    endpoint = rl.Endpoint("m", client)
    assert endpoint.name == "m at example.org" and repr(endpoint) == "Endpoint('m', at example.org)"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("404", r"1 of 1 requests failed \(see 'error'\)\. Nothing more was sent to m at \S+: HTTP 404.*base_url\.$"),
        ("400", r"failed \(see 'error'\)\. The first error: m at \S+: HTTP 400\D*prompt's length\.$"),
        ("500", r"failed \(see 'error'\); run again to retry\. The first error: .*HTTP 500.*\(attempt 2 of 2\)\.$"),
    ],
)
def test_the_warning_says_why_and_to_run_again_only_where_that_helps(tmp_path, fault, said):
    with LLMServer(script=lambda ask: fault) as server, pytest.warns(rl.CollectionWarning, match=said):
        run(server, requests(1), tmp_path, max_attempts=2)


def test_replies_without_a_price_are_counted_by_model(tmp_path):
    with (
        LLMServer() as server,
        pytest.warns(rl.CollectionWarning, match="2 replies is not known .* give prices= for 'm-9b'"),
    ):
        run_requests(requests(2), {"m": "m-9b"}, path=tmp_path / "run.jsonl", client=server.client(), progress=False)


def test_a_warning_that_is_an_error_costs_no_reply(tmp_path, monkeypatch):
    def warned(*args):
        warnings.warn("prices will change", DeprecationWarning, stacklevel=2)
        return account(*args)

    warnings.simplefilter("error")  # as python -W error sets it
    monkeypatch.setattr("routerlab.completions._journal.account", warned)
    with LLMServer(prices=PRICE) as server:
        records = run(server, requests(3), tmp_path).records
        assert len(server.asked) == 3
    assert all(right_text(record) and record["cost_usd"] > 0 for record in records)


@pytest.mark.parametrize("old", ["unsure_usd", "n_unsure", "unsure_before_usd"])
def test_old_names_of_a_report_are_taken_for_one_more_release(old):
    report = RunReport("run.jsonl", n_maybe_billed=2, maybe_billed_usd=0.5, maybe_billed_before_usd=0.25)
    new = old.replace("unsure", "maybe_billed")
    with pytest.warns(DeprecationWarning, match=f"{old} is called '{new}' now"):
        assert getattr(report, old) == getattr(report, new) == report.to_dict()[old] == report.to_dict()[new] != 0


@pytest.mark.parametrize("dry_run", [False, True])
def test_prices_for_no_model_are_said_before_anything_is_sent(tmp_path, dry_run):
    options = {"path": tmp_path / "run.jsonl", "progress": False, "dry_run": dry_run, "prices": {"smal": PRICE}}
    with LLMServer() as server:
        with pytest.raises(rl.ParameterError, match=r"'smal' is not a model of this call, .*'small'\..* not known"):
            rl.collect_responses(["Hi"], ["small"], client=server.client(), **options)
        assert len(server.asked) == 0
        with pytest.warns(rl.CollectionWarning, match="price list's price is used for 'gpt-4.1-mini'") as warned:
            models = {"gpt-4.1-mini": rl.Endpoint("gpt-4.1-mini", provider="openai")}
            rl.collect_responses(["Hi"], models, client=server.client(), **options)
        assert warned[0].filename == __file__
        more = {**options, "prices": {"small": PRICE, "another": PRICE}}
        rl.collect_responses(["Hi"], ["small"], client=server.client(), **more)  # more prices than models are fine


# Any JSON at any place.

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "4"}]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("4", "4"),
        (PARTS, "4"),
        ([{"type": "text", "text": "4"}, {"type": "text", "text": "2"}], "42"),
        ([{"type": "output_text", "text": "4", "annotations": []}], "4"),
        ([{"type": "text", "text": {"value": "4"}}], "4"),
        (["4", {"text": "2"}], "42"),
        ({"type": "text", "text": "4"}, "4"),
        (PARTS[:1], ""),
        ([], ""),
        (None, ""),
        ("half \ud83d", "half \N{REPLACEMENT CHARACTER}"),
        (4, None),
        (True, None),
        ([4, [5]], None),
    ],
)
def test_content_in_parts_is_its_text(content, text):
    outcome = read_reply(json.dumps({"choices": [{"message": {"content": content}}]}).encode())
    assert outcome.message == "the reply's content is not text" if text is None else outcome.text == text


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ({"tool_calls": [CALL, 5, {"function": None}]}, [CALL]),
        ({"function_call": CALL["function"]}, [{**CALL, "id": None}]),
        ({"tool_calls": [{**CALL, "function": {"name": "add", "arguments": {"a": 2}}}]}, [CALL]),
        (
            {"tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}]},
            [{"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}],
        ),
        ({"tool_calls": {"a": 1}}, []),
    ],
)
def test_tool_calls_are_kept(message, kept):
    outcome = read_reply(json.dumps({"choices": [{"message": {"content": None, **message}}]}).encode())
    assert (outcome.text, list(outcome.tool_calls)) == ("", kept)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": ["x"], "message": {"a": 1}}}',
        b'{"error": {"code": {}, "message": null}}',
        b'{"error": ["x"]}',
        b'{"error": 5, "choices": []}',
        b'{"error": {"code": 1' + b"0" * 400 + b"}}",
        b'{"choices": [{"message": {"content": "x"}, "finish_reason": "error", "error": {"code": [1]}}]}',
        b'{"choices": "abc"}',
        b'{"choices": [[]]}',
        b'{"choices": [{"message": []}]}',
        b"[" * 200_000,
        b'{"usage": ' + b'{"a":' * 100_000,
        b'{"id": 1' + b"0" * 5000 + b"}",
        b"\xff\xfe",
        b"null",
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_what_is_no_reply_is_a_failure(body):
    outcome = read_reply(body)
    assert isinstance(outcome, Failure) and outcome.message


@pytest.mark.parametrize("n_tokens", ["1" + "0" * 400, "1e308", '"many"', "[5]", "-3", "true", '{"a": 1}'])
@pytest.mark.parametrize("error", [False, True])
def test_odd_replies_end_no_run_and_are_recorded(tmp_path, n_tokens, error):
    usage = f'{{"prompt_tokens": {n_tokens}, "completion_tokens": {n_tokens}}}'
    said = '"error": {"code": [500]}' if error else '"choices": [{"message": {"content": "Yes."}}]'
    odd = http(f'{{{said}, "usage": {usage}, "id": [1]}}'.encode())
    with RawServer(lambda connection, number: connection.sendall(odd)) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", rl.CollectionWarning)
        options = {"path": tmp_path / "r", "progress": False, "max_attempts": 2, "backoff_s": 0.01}
        table = rl.collect_responses(["a", "b"], {"m": rl.Endpoint("m", server.client(), price=PRICE)}, **options)
    assert table["response"].tolist() == (["", ""] if error else ["Yes.", "Yes."])
    assert table["error"].notna().tolist() == [error, error]
    assert not (table["cost_usd"] < 0).any()


@pytest.mark.parametrize("wait", ["31536000", "9" * 400, "1e400", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 99 Foo 1"])
def test_no_wait_is_longer_than_ours(tmp_path, wait):
    busy = http({"error": {"message": "slow down", "code": ["busy"]}}, 429, retry_after=wait)
    answers = [busy, http(completion("Yes."))]
    with RawServer(lambda connection, number: connection.sendall(answers[min(number, 2) - 1])) as server:
        started = time.perf_counter()
        (record,) = run(server, requests(1), tmp_path, max_wait_s=0.3).records
    assert time.perf_counter() - started < 5 and (record["text"], record["attempts"]) == ("Yes.", 2)


def test_tool_calls_and_refusals_reach_the_journal_and_the_table(tmp_path):
    answers = [completion(None, "tool_calls", tool_calls=[CALL]), completion(None, refusal="I may not.")]
    with RawServer(lambda connection, number: connection.sendall(http(answers[number - 1]))) as server:
        options = {"path": tmp_path / "r", "client": server.client(), "prices": {"m": PRICE}, "progress": False}
        with pytest.warns(rl.CollectionWarning, match=r"^1 response is tool calls alone: see 'tool_calls'\.$"):
            table = rl.collect_responses(["a", "b"], ["m"], concurrency=1, **options)
        with pytest.warns(rl.CollectionWarning, match="tool calls alone"):
            again = rl.collect_responses(["a", "b"], ["m"], **options)  # from the journal
        assert len(server.asked) == 2
    for each in (table, again):
        assert each["response"].tolist() == ["", "I may not."]
        assert each["tool_calls"].iloc[0] == [CALL] and each["refusal"].iloc[1] == "I may not."


# Limits on what comes.


def test_a_bomb_is_not_unpacked_and_a_redirect_not_followed(tmp_path):
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=1)
    with RawServer(lambda connection, number: connection.sendall(http(bomb, content_encoding="gzip"))) as server:
        tracemalloc.start()
        record = quiet(server, requests(1), tmp_path / "a", max_attempts=1).records[0]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "larger than 32 MiB" in record["error"] and peak < 120e6
    with RawServer(lambda connection, number: connection.sendall(http(completion("mine")))) as elsewhere:
        moved = http(b"", 307, location=f"{elsewhere.url}/chat/completions")
        with RawServer(lambda connection, number: connection.sendall(moved)) as server:
            with pytest.raises(EndpointRefused, match=r"HTTP 307: the endpoint redirects to http.*base_url"):
                run(server, requests(2), tmp_path / "b")
        assert elsewhere.asked == []


# Nothing paid for waits for ever.


@pytest.mark.parametrize("value", [date(2026, 1, 1), uuid4(), Decimal("1.5"), float("nan"), {1, 2}, object()])
def test_what_the_journal_cannot_hold_is_said_before_anything_is_sent(tmp_path, value):
    asked = [Request("m", [{"role": "user", "content": "Hi"}], {}, {"prompt_id": value})]
    with LLMServer() as server, pytest.raises(rl.TableError, match=r"'about': 'prompt_id' is .* nothing was sent"):
        run(server, asked, tmp_path)
    assert server.asked == []


@pytest.mark.parametrize(
    "error", [TypeError("not JSON"), MemoryError(), RuntimeError("lock inherited"), OSError(28, "")]
)
def test_a_journal_that_fails_in_whatever_way_ends_the_run_with_its_replies(tmp_path, monkeypatch, error):
    append = Journal.append

    def failing(self, lines):
        if any(line["type"] == "record" and line["prompt_id"] == 3 for line in lines):
            raise error
        append(self, lines)

    with LLMServer(prices=PRICE) as server:
        with monkeypatch.context() as patched, pytest.raises(JournalError) as caught:
            patched.setattr(Journal, "append", failing)
            run(server, requests(8), tmp_path, concurrency=2)
        assert [record["prompt_id"] for record in caught.value.unwritten] == [3]
        n_kept = sum('"type": "record"' in line for line in (tmp_path / "run.jsonl").read_text().splitlines())
        n_asked = len(server.asked)
        assert all(map(right_text, run(server, requests(8), tmp_path).records))
        assert len(server.asked) - n_asked == 8 - n_kept > 0
