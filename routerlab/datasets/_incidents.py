"""What went wrong at providers, as they said it (status pages) and as it was measured (requests that failed)."""

from __future__ import annotations

import pandas as pd

from routerlab.datasets._files import csv_table, in_folder, json_array, read_published, registry

INCIDENTS = "atlarge-research/FAILS/server/static/data/incident_stages_all.csv"
LLMPERF = "ray-project/llmperf-leaderboard/raw_data/individual"
COMPONENTS = (
    *("API", "ChatGPT", "DALL-E", "Playground", "api.anthropic.com", "claude.ai", "console.anthropic.com"),
    *("Character.AI", "REST API", "gRPC API", "Stable Assistant"),
)


def fetch_incidents() -> pd.DataFrame:
    """Fetch 794 incidents from the status pages of OpenAI, Anthropic, Character.AI and Stability AI.

    Read from the folder that ``ROUTERLAB_DATA`` names (laid out ``<owner>/<repository>/<path>``) if it holds the file,
    else from the cache, else downloaded into the cache (0.4 MB). The file is pinned and checked, never shipped: its
    authors state no licence, and the providers' own words in it are left out here.

    Returns
    -------
    DataFrame
        One row per incident: ``incident_id``, ``provider``, ``components`` (tuple of those affected), ``impact`` (0 to
        4; 4 looks like planned maintenance), ``start``, ``end`` (UTC), ``about_requests`` (False where the title
        names a dashboard: such an incident stopped no request).

    Raises
    ------
    DataFileError
        The file is absent with no network, or is not what was published.

    Notes
    -----
    An open incident means that the provider said so: degraded service more often than none. Two incidents without
    times are left out.

    References
    ----------
    Chu et al. (2025), FAILS: A Framework for Automated Collection and Analysis of LLM Service Incidents, ICPE
    Companion. https://github.com/atlarge-research/FAILS

    Examples
    --------
    >>> fetch_incidents().groupby("provider").size()  # doctest: +SKIP
    """
    file = registry()[INCIDENTS]
    columns = ["incident_id", "Incident_Title", "incident_impact_level", "provider", "start_timestamp"]
    raw = csv_table(read_published([file], "Incidents")[0], file, [*columns, "close_timestamp", *COMPONENTS])
    affected = [tuple(c for c, hit in zip(COMPONENTS, row, strict=True) if hit == "1") for row in _rows(raw)]
    table = pd.DataFrame(
        {
            "incident_id": raw["incident_id"],
            "provider": raw["provider"].str.lower(),
            "components": affected,
            "impact": pd.to_numeric(raw["incident_impact_level"]),
            "start": pd.to_datetime(raw["start_timestamp"].replace("", None), utc=True),
            "end": pd.to_datetime(raw["close_timestamp"].replace("", None), utc=True),
            "about_requests": ~raw["Incident_Title"].fillna("").str.contains("dashboard", case=False),
        }
    )
    table = table.dropna(subset=["start", "end"]).sort_values("start", ignore_index=True)
    table.attrs["provenance"] = f"published: incidents of status pages (atlarge-research/FAILS@{file.commit[:7]})"
    return table


def _rows(raw: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(raw[list(COMPONENTS)].itertuples(index=False, name=None))


def fetch_llmperf() -> pd.DataFrame:
    """Fetch LLMPerf's 2,845 real requests to eight providers of Llama 2, December 2023, failures among them.

    Read from the folder that ``ROUTERLAB_DATA`` names if it holds the files, else from the cache, else downloaded into
    the cache (1.2 MB).

    Returns
    -------
    DataFrame
        One row per request: ``provider``, ``model`` ('llama-2-70b-chat'), ``failed``, ``error_code``, ``ttft_s``,
        ``latency_s``, ``input_tokens``, ``output_tokens``. Times and tokens of failed requests are empty.

    Raises
    ------
    DataFileError
        A file that is absent with no network, or is not what was published.

    References
    ----------
    https://github.com/ray-project/llmperf-leaderboard (Apache-2.0)

    Examples
    --------
    >>> fetch_llmperf().groupby(["provider", "model"])["failed"].mean()  # doctest: +SKIP
    """
    files = in_folder(LLMPERF, ".json")
    frames = []
    for file, text in zip(files, read_published(files, "LLMPerf"), strict=True):
        provider, size = file.path.rsplit("/", 1)[1].removesuffix(".json").rsplit("_", 1)
        records = pd.DataFrame(json_array(text, file, ["error_code"]))
        frames.append(records.assign(provider=provider, model=f"llama-2-{size}-chat"))
    raw = pd.concat(frames, ignore_index=True)
    failed = raw["error_code"].notna() | raw["error_msg"].fillna("").ne("")
    table = pd.DataFrame(
        {
            "provider": raw["provider"],
            "model": raw["model"],
            "failed": failed,
            "error_code": raw["error_code"],
            "ttft_s": pd.to_numeric(raw["ttft_s"]).mask(failed),
            "latency_s": pd.to_numeric(raw["end_to_end_latency_s"]).mask(failed),
            "input_tokens": pd.to_numeric(raw["number_input_tokens"]).mask(failed),
            "output_tokens": pd.to_numeric(raw["number_output_tokens"]).mask(failed),
        }
    )
    table.attrs["provenance"] = f"published: LLMPerf requests (ray-project/llmperf-leaderboard@{files[0].commit[:7]})"
    return table
