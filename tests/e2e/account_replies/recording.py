"""What Milvus 2.3.5 answers.

`python -m tests.e2e.account_replies.recording` records it; it needs the extra `peers`.
"""

import asyncio
import json
import tempfile
from pathlib import Path

from tests.bench.peers.milvus import milvus
from tests.e2e.account_replies.conversation import Answer, hold

RECORDING = Path(__file__).with_name("milvus_2_3_5.json")


async def answers_of_milvus(folder: Path) -> dict[str, Answer]:
    """Starts a Milvus in the folder and holds the conversation with it."""
    async with milvus(folder) as peer:
        return await hold(f"127.0.0.1:{peer.target.port}")


def recorded() -> dict[str, Answer]:
    """The answers of the recording."""
    return {
        name: Answer.of_json(value) for name, value in json.loads(RECORDING.read_text()).items()
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        answers = asyncio.run(answers_of_milvus(Path(folder)))
    text = json.dumps({name: answer.to_json() for name, answer in answers.items()}, indent=1)
    RECORDING.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
