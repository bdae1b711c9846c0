"""`python docs/images/examples.py` makes the other images of the documents again, with flux's sandbox."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DIRECTORY = Path(__file__).parent
COMMANDS = (
    'gen "a red fox in the snow" --seed 7 -o gen.png',
    'edit gen.png "at night" --seed 7 -o edit.png',
    'inpaint gen.png "a green moon" --mask-box 60%,8%,35%,35% --seed 7 -o inpaint.png',
    'outpaint gen.png "more hills" --right 40% --seed 7 -o outpaint.png',
    'lora "a cozy reading room" --lora ob3d-isometric-3d-room --seed 4 -o lora.png',
    'controlnet "a castle in the snow" --control depth=gen.png --seed 2 -o controlnet.png',
)
SWEEP = 'gen "a {red fox|blue whale} {place}" --vary place="in the snow,by the sea,at night" --seed 7 -d sweep'
HEIGHT = 300


def make() -> None:
    """Run the commands, and keep small copies of what they save."""
    with tempfile.TemporaryDirectory() as work:
        for line in (*COMMANDS, SWEEP, "gallery sweep --sheet sweep.webp"):
            _flux(line, work)
        for line in COMMANDS:
            name = Path(line.rpartition(" ")[2])
            with Image.open(Path(work, name)) as image:
                image.thumbnail((10 * HEIGHT, HEIGHT), Image.Resampling.LANCZOS)
                image.convert("RGB").save(DIRECTORY / name.with_suffix(".webp"), quality=82)
        (DIRECTORY / "sweep.webp").write_bytes(Path(work, "sweep.webp").read_bytes())


def _flux(line: str, work: str) -> None:
    environ = {**os.environ, "FLUX_HOME": f"{work}/home", "FLUX_SANDBOX": "true"}
    program = [sys.executable, "-m", "flux_cli", *shlex.split(line)]
    subprocess.run(program, check=True, cwd=work, env=environ)  # noqa: S603


if __name__ == "__main__":
    make()
