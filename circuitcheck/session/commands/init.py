"""``circuitcheck init``: a first folder of hypotheses, and the workflow that decides them in CI.

circuitcheck init               writes hypotheses/ and .github/workflows/circuits.yml
circuitcheck init my_claims     the same, with another name for the folder
"""

from pathlib import Path

from circuitcheck.version import __version__

WORKFLOW = Path(".github/workflows/circuits.yml")

_CLAIMS = '''"""First claims, about the small model that comes with circuitcheck.

pytest FOLDER --circuit-model=bundled
"""

from circuitcheck import PromptPairs, contrast

# Prompt pairs that differ in one word. After the clean prompt ("... the apple tree and picked") " an" is right, after the corrupted
# one ("... the lemon tree and picked") " a". Every tree goes with every couple of fruits: 3 x 3 x 3 = 27 pairs.
FRUIT = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum", "fig"],
    fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
    answer=" an",
    foil=" a",
)


def test_one_neuron_restores_the_article(model):
    """L1.N8 alone restores at least 40 % of the ' an' - ' a' logit difference."""
    # patch puts what neuron 8 of layer 1 does in the clean run into the corrupted run. The effect is a share of the gap:
    # 0 where nothing changes, 1 where the corrupted prompt is answered as the clean one is. Comparing it runs the model.
    assert model.on(FRUIT).patch("L1.N8") > 0.4
'''

_README = """# Claims about circuits

Each test here is a claim about the inside of a model, which is decided by running it:

    pytest FOLDER --circuit-model=bundled
    pytest FOLDER --circuit-model=bundled --circuit-lock=update    # what holds is locked: commit circuitcheck.lock

From then on `--circuit-lock=check` (in `.github/workflows/circuits.yml`) fails where a claim is lost or weakened, or a model's
effect has fallen. For a model of your own write its name or path in place of `bundled`, here and in the workflow.
"""

_STEPS = """name: circuit claims

on:
  push:
    branches: [main]
  pull_request:

permissions:
  contents: read

env:
  MODEL: bundled # or a name on the hub
  TORCH_INDEX: "" # PyTorch's CPU index: pytorch.org shows it under "Get started", for pip and CPU

jobs:
  claims:
    runs-on: ubuntu-latest
    timeout-minutes: 60
    steps:
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
          fetch-depth: 0 # the base branch's lock, too
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"

      - name: Install
        run: |
          python -m pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
          python -m pip install "circuitcheck==VERSION"

      - name: What the lock gives up
        if: github.event_name == 'pull_request'
        continue-on-error: true # a review accepts it
        env:
          BASE: origin/${{ github.base_ref }}
        run: circuitcheck compare --base "$BASE"

      - name: Restore the model
        uses: actions/cache@v4
        with:
          path: ~/.cache/huggingface/hub
          key: model-${{ env.MODEL }}
      - name: Fetch the model
        if: env.MODEL != 'bundled'
        run: hf download "$MODEL" --include '*.json' '*.safetensors' '*.txt' '*.model' '*.jinja'

      - name: Restore evidence
        uses: actions/cache/restore@v4
        with:
          path: .circuitcheck/evidence.sqlite
          key: evidence-${{ env.MODEL }}-${{ hashFiles('circuitcheck.lock') }}-${{ github.run_id }}
          restore-keys: |
            evidence-${{ env.MODEL }}-${{ hashFiles('circuitcheck.lock') }}-
            evidence-${{ env.MODEL }}-

      - name: Claims
        run: >-
          pytest FOLDER
          --circuit-model="$MODEL"
          --circuit-lock=check
          --circuit-strict
          --junit-xml=reports/junit.xml
          --circuit-json=reports/claims.json
          --circuit-html=reports/claims.html

      - name: Keep evidence
        if: ${{ !cancelled() }}
        uses: actions/cache/save@v4
        with:
          path: .circuitcheck/evidence.sqlite
          key: evidence-${{ env.MODEL }}-${{ hashFiles('circuitcheck.lock') }}-${{ github.run_id }}
      - name: Keep reports
        if: ${{ !cancelled() }}
        uses: actions/upload-artifact@v4
        with:
          name: circuit-claims
          path: reports/
"""


def workflow(folder: str) -> str:
    """The workflow that decides the claims of a folder in GitHub Actions."""
    return _STEPS.replace("FOLDER", folder).replace("VERSION", __version__)


def init(folder: Path) -> list[Path]:
    """Write the first files of a folder of hypotheses, next to which circuitcheck is run; raises ``FileExistsError`` where one is
    there already, and ``ValueError`` for a folder that is elsewhere, and writes nothing then."""
    name = folder.as_posix()
    if (
        folder.is_absolute()
        or ".." in folder.parts
        or not name.replace("/", "").replace("-", "").replace("_", "").isalnum()
    ):
        raise ValueError(
            f"{name!r} is no folder in this one, with a plain name: go to the root of your repository, and name it as in `circuitcheck init hypotheses`"
        )
    files = {
        folder / "test_first.py": _CLAIMS.replace("FOLDER", name),
        folder / "README.md": _README.replace("FOLDER", name),
        WORKFLOW: workflow(name),
    }
    if there := [str(path) for path in files if path.exists()]:
        raise FileExistsError(f"there already, and nothing was written: {', '.join(there)}")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)
