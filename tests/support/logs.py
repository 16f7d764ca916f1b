"""Small synthetic request logs in the schema of each known format, and the shared real ones where they are."""

import gzip
import json
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "traces"  # beside the repository
REAL = SHARED / "genai_requests.csv"
needs_real_log = pytest.mark.skipif(not REAL.is_file(), reason="the real traces are not in ../shared/traces")

GENTD26 = """gmt_create,predict_type,predict_status,exec_time_seconds,groupId,prompt_length,checkpoint_model_version_id,num_lora
2024-11-15 16:57:50,TXT_2_IMG,SUCCEED,32.0,G0,63.0,M0,0
2024-11-15 16:57:50,TXT_2_IMG,SUCCEED,3.5,G1,93.0,M1,0
2024-11-15 16:58:00,TXT_2_IMG,FAILED,1.0,G1,93.0,M1,0
2024-11-15 16:58:10,IMG_2_IMG,SUCCEED,4.0,G1,,,0
2024-11-15 16:59:20,IMG_2_IMG,SUCCEED,4.0,G1,,M0,0
"""
AZURE_FUNCTIONS = "app,func,end_timestamp,duration\nA,f,10.5,0.5\nA,g,20.25,0.25\nB,f,30.0,12.0\n"
AZURE_LLM_2023 = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:05.0319601,3180,8
"""
AZURE_LLM_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00+00:00,2399,6
2024-05-10 00:00:01.509930+00:00,2399,6
"""
MOONCAKE = "".join(
    json.dumps({"timestamp": t, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]}) + "\n" for t in (0, 250, 3000)
)
COPILOT = "".join(
    json.dumps({"session_id": s, "date": "2026-06-01", "turns": [{"turn_id": "t", "llm_calls": calls, "tool_batches": []}] * 1})
    + "\n"
    for s, calls in (
        ("s1", [{"timestamp": "2026-06-01T00:00:05.250Z", "duration_ms": 1500, "model": "Model A", "tokens": {"prompt": 3}}]),
        (
            "s2",
            [
                {"timestamp": "2026-06-01T00:00:01Z", "duration_ms": 500, "model": "Model B", "tokens": {"prompt": 3}},
                {"timestamp": "2026-06-01T00:00:09Z", "duration_ms": 700, "model": "Model A", "tokens": {"prompt": 4}},
            ],
        ),
        ("s3", []),
    )
)
LITELLM = """request_id,call_type,spend,startTime,endTime,model,model_group,status
r1,acompletion,0.1,2025-03-01 10:00:00.125,2025-03-01 10:00:02.125,gpt-a,chat,success
r2,acompletion,0.1,2025-03-01 10:00:03,2025-03-01 10:00:04,gpt-b,chat,failure
r3,acompletion,0.1,2025-03-01 10:00:05,2025-03-01 10:00:05.5,gpt-b,chat,success
"""
LLAMA_SWAP = json.dumps(
    [
        {"id": 1, "timestamp": "2025-07-01T18:00:09.5+02:00", "model": "qwen", "resp_status_code": 200, "duration_ms": 1200},
        {"id": 2, "timestamp": "2025-07-01T18:00:11+02:00", "model": "llama", "resp_status_code": 200, "duration_ms": 800},
        {"id": 3, "timestamp": "2025-07-01T18:00:12+02:00", "model": "llama", "resp_status_code": 502, "duration_ms": 8},
    ]
)
LLAMA_SWAP_ACCESS = """2025-07-01T18:00:09Z [INFO] preloading model: qwen
2025-07-01T18:00:10Z [INFO] Request 127.0.0.1 "POST /upstream/qwen/v1/chat/completions HTTP/1.1" 200 812 "curl/8.0" 2.5s
2025-07-01T18:00:20Z [INFO] Request 127.0.0.1 "POST /upstream/llama/v1/completions HTTP/1.1" 200 812 "curl/8.0" 500ms
2025-07-01T18:00:21Z [INFO] Request 127.0.0.1 "GET /v1/models HTTP/1.1" 200 812 "curl/8.0" 1ms
"""
OLLAMA = """time=2025-07-01T17:59:51.470Z level=INFO source=types.go:130 msg="inference compute" library=cpu
[GIN] 2025/07/01 - 18:00:09 | 200 |      50.263µs | 100.126.204.152 | HEAD     "/"
[GIN] 2025/07/01 - 18:00:15 | 200 |  5.5s |       127.0.0.1 | POST     "/api/chat"
[GIN] 2025/07/01 - 18:01:00 | 200 |  1m2.5s |       127.0.0.1 | POST     "/api/generate"
[GIN] 2025/07/01 - 18:02:00 | 404 |  1ms |       127.0.0.1 | POST     "/api/generate"
"""


def write(folder, name, content):
    """A file of that content, gzip-compressed where its name ends in .gz."""
    path = Path(folder) / name
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path
