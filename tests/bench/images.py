"""How large our images are: what the engine holds of each, shared layers included."""

from tests.bench.report import Report
from tests.support.containers import Engine, NoContainersError, find_engine
from vecguard.testing.images import Images, names_of

_MIB = 2**20
_BUILT_BY_TESTS = "localhost/vecguard-{}:test"


async def run(report: Report) -> None:
    made = Images.from_environment()
    images = {"proxy": made.proxy, "root_coord": made.root_coord, "milvus_lite": made.milvus_lite}
    try:
        engine = find_engine()
        sizes = {name: _bytes(engine, name, image) for name, image in images.items()}
    except NoContainersError as error:
        report.leave_out("images.*", error.message.splitlines()[0])
        return
    for name, size in sizes.items():
        report.add(f"images.{name}_mib", size / _MIB)


def _bytes(engine: Engine, name: str, image: str) -> int:
    for candidate in (*names_of(image), _BUILT_BY_TESTS.format(name.replace("_", "-"))):
        if engine.has_image(candidate):
            return int(engine.run("image", "inspect", "--format", "{{.Size}}", candidate))
    raise NoContainersError(f"there is no image {image}; run `make image`")
