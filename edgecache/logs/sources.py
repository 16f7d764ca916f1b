"""Published traces: what is known of each, and how to get it. Nothing of them ships with the package."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, require, unknown

ALIBABA = (
    "https://raw.githubusercontent.com/alibaba/clusterdata/7a6c496e4f4b6ce6150be8f881cb051bf2abff42/cluster-trace-v2026-GenAI/"
)
AZURE = "https://raw.githubusercontent.com/Azure/AzurePublicDataset/b469a113cedca53ddc3bdea71a143dc4b7d8700c/data/"
MOONCAKE = "https://raw.githubusercontent.com/kvcache-ai/Mooncake/3b5a594133958449a1feaf1c9e0fc1b553e34a28/FAST25-release/traces/"
SPLITWISE = "Patel et al.: Splitwise: Efficient generative LLM inference using phase splitting. ISCA 2024"
QIN = "Qin et al.: Mooncake: Trading More Storage for Less Computation. FAST 2025"


@dataclass(frozen=True)
class Source:
    """A published trace.

    Parameters
    ----------
    name, about
        What commands call it, and what it is.
    licence, citation
        How the publisher allows it to be used, and what to cite.
    address
        Where it comes from: the file itself where `sha256` is known, else the publisher's page.
    file
        Name of the file on disk.
    sha256
        Of the file; empty where it is to be fetched by hand.
    names_models
        Does it say which model each request asks for?
    """

    name: str
    about: str
    licence: str
    citation: str
    address: str
    file: str
    sha256: str = ""
    names_models: bool = False

    @property
    def path(self) -> Path:
        """Where the file is, or would be."""
        return traces_folder() / self.file


SOURCES = {
    source.name: source
    for source in (
        Source(
            "gentd26",
            "26,823 requests for 86 base models of a production Stable Diffusion system, 2024-11-15 to 12-08 (GenTD26)",
            "free for research and study, by the publisher's README",
            "Lin et al.: Understanding Diffusion Model Serving in Production. SoCC 2025",
            f"{ALIBABA}lora_request_trace.csv",
            "lora_request_trace.csv",
            "263fb88f1095f62d360cf89ded8cfc24fa2c5d111c1b16e7aaa9ccbfc4b37d78",
            names_models=True,
        ),
        Source(
            "azure-llm-2023-code",
            "LLM inference requests of a coding service, one hour of 2023-11-16",
            "CC-BY 4.0",
            SPLITWISE,
            f"{AZURE}AzureLLMInferenceTrace_code.csv",
            "AzureLLMInferenceTrace_code.csv",
            "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
        ),
        Source(
            "azure-llm-2023-conv",
            "LLM inference requests of a conversation service, one hour of 2023-11-16",
            "CC-BY 4.0",
            SPLITWISE,
            f"{AZURE}AzureLLMInferenceTrace_conv.csv",
            "AzureLLMInferenceTrace_conv.csv",
            "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
        ),
        Source(
            "mooncake-conversation",
            "conversation requests of the Kimi chatbot",
            "Apache-2.0",
            QIN,
            f"{MOONCAKE}conversation_trace.jsonl",
            "conversation_trace.jsonl",
            "b8cbb061a85206d729d91cdc2981f43c9e0d99209dce588d3af5f7934408b9df",
        ),
        Source(
            "mooncake-synthetic",
            "synthetic requests in Mooncake's form",
            "Apache-2.0",
            QIN,
            f"{MOONCAKE}synthetic_trace.jsonl",
            "synthetic_trace.jsonl",
            "bd070915a98fc0ed264d7cfef2ce746002eb3076a695ec31ba2674c0111ec131",
        ),
        Source(
            "azure-llm-2024",
            "LLM inference requests, a week of May 2024 (two files); by hand",
            "CC-BY 4.0",
            "Stojkovic et al.: DynamoLLM: Designing LLM Inference Clusters for Performance and Energy Efficiency. HPCA 2025",
            "https://github.com/Azure/AzurePublicDataset/blob/master/AzureLLMInferenceDataset2024.md",
            "AzureLLMInferenceTrace_conv_1week.csv",
        ),
        Source(
            "azure-functions-2021",
            "function invocations over two weeks; a proxy, its applications stand for models; by hand, unpack the archive",
            "CC-BY 4.0",
            "Zhang et al.: Faster and Cheaper Serverless Computing on Harvested Resources. SOSP 2021",
            "https://github.com/Azure/AzurePublicDataset/blob/master/AzureFunctionsInvocationTrace2021.md",
            "AzureFunctionsInvocationTraceForTwoWeeksJan2021.txt",
            names_models=True,
        ),
        Source(
            "copilot-agents-2026",
            "9.3 million model calls of GitHub Copilot coding agents for 37 models, 2026-06-01 to 06-07; by hand, in shards",
            "CC-BY 4.0",
            "Liu et al.: Agentic Coding in the Wild. arXiv 2608.00101, 2026",
            "https://github.com/Azure/AzurePublicDataset/blob/master/GitHubCopilotCodingAgentDataset2026.md",
            "shard-0000.jsonl.gz",
            names_models=True,
        ),
    )
}


def traces_folder() -> Path:
    """The folder of downloaded traces: $EDGECACHE_TRACES, or a folder of the user's cache."""
    own = os.environ.get("EDGECACHE_TRACES")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(own) if own else Path(cache).expanduser() / "edgecache" / "traces"


def find_trace(file: str | Path) -> Path:
    """Find a log: the file of that name, or the published trace of that name where it is on disk.

    Parameters
    ----------
    file : str or Path
        A path, or a name of SOURCES.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        For a published trace that is not on disk.

    Examples
    --------
    >>> find_trace("my.csv").name
    'my.csv'
    """
    source = SOURCES.get(str(file))
    if source is None or Path(file).exists():
        return Path(file)
    if not source.path.is_file():
        twin = "; its fitted twin needs no download: edgecache simulate --demand gentd26" if source.name == "gentd26" else ""
        raise InputError(f"the trace {source.name} is not on disk; get it with: edgecache traces {source.name}{twin}")
    return source.path


def fetch_trace(name: str, downloader: Callable[..., Any] | None = None) -> Path:
    """Download a published trace from its publisher, unless it is on disk, and check its sha256.

    Parameters
    ----------
    name : str
        A name of SOURCES.
    downloader : callable, optional
        A downloader of pooch's; its own by default.

    Returns
    -------
    Path
        The file. A file that does not have the sha256 is not kept.

    Raises
    ------
    InputError
        For an unknown name, a trace that is to be fetched by hand, no network, and a wrong sha256.
    """
    if name not in SOURCES:
        raise unknown("trace", name, SOURCES)
    source = SOURCES[name]
    if not source.sha256:
        raise InputError(f"{name} is fetched by hand from {source.address}; put {source.file} into {traces_folder()}")
    pooch = require("pooch", "traces", "downloading a trace")
    pooch.get_logger().setLevel("ERROR")
    folder, known = source.path.parent, f"sha256:{source.sha256}"
    if source.path.is_file() and pooch.file_hash(str(source.path)) != source.sha256:
        raise InputError(f"{source.path} does not have the sha256 of {name} ({source.sha256}): it was cut or altered; remove it")
    try:
        return Path(pooch.retrieve(source.address, known, fname=source.file, path=folder, downloader=downloader))
    except ValueError as error:
        if "hash" not in str(error).lower():
            raise
        raise InputError(f"{source.address} does not have the sha256 of {name} ({source.sha256}); nothing was kept") from None
    except OSError as error:  # the network's errors are of this kind, and so are a disk's
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"{name} could not be downloaded ({reason}); fetch {source.address} elsewhere and put it as {source.path}"
        ) from None
