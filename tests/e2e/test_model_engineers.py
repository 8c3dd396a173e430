"""The model engineer's guide: its commands, as they stand, on a platform with a copy of the repository."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.models.repository import Repository
from scripts.stack.settings import CHECKOUT
from tests.fixtures.stack import START_DEADLINE_S, Stack, new_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * START_DEADLINE_S + 600)]
GUIDE = CHECKOUT / "docs" / "model-engineers.md"


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running platform whose repository may be changed."""
    folder = tmp_path_factory.mktemp("engineers")
    shutil.copytree(CHECKOUT / "model_repository", folder / "models")
    plain = new_stack(folder / "home")
    stack = replace(plain, environment={**plain.environment, "BONAFIDE_MODEL_REPOSITORY": str(folder / "models")})
    started = stack.bonafide("up", "--detach")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield stack
    finally:
        stopped = stack.bonafide("down")
    assert stopped.returncode == 0, stopped.stdout


def test_the_commands_of_the_guide_work_as_they_stand(own_stack: Stack, tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    environment = {**own_stack.environment, "BONAFIDE_URL": own_stack.url}
    said = ""
    for number, block in enumerate(blocks):
        script = tmp_path / f"{number}.sh"
        script.write_text(block.replace(".bonafide/guide", str(tmp_path / "guide")))
        answer = subprocess.run(
            ["bash", "-eu", str(script)],  # noqa: S607  (as a reader runs it)
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert answer.returncode == 0, f"{block}\n{answer.stdout}\n{answer.stderr}"
        said += answer.stdout

    assert re.search(r"forged\.wav +FAKE .*voices:1", said)
    assert re.search(r"forged\.wav +FAKE .*audio_transformer:2", said)
    assert re.search(r"forged\.wav +FAKE .*listeners:1", said)
    repository = Repository(Path(own_stack.environment["BONAFIDE_MODEL_REPOSITORY"]))
    assert repository.versions("audio_transformer") == (1, 2, 3)
    route = repository.route("audio_transformer")
    assert route is not None
    assert (route.stable, route.previous, route.canary) == (1, 2, None)
    report = next((repository.root / "voices" / "1" / "evaluation").glob("*/report.json"))
    assert json.loads(report.read_text())
