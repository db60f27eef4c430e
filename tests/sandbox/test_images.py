"""Package sets: refused early, built once, failing with the package's name."""

import uuid
import zipfile

import pytest

from sandbox import debian_base, images, requirements
from sandbox.contract import ImageError, SandboxSpec
from sandbox.docker_backend import open_client
from sandbox.images import Images
from tests.sandbox.conftest import SMALL, settings_for_tests


class TestRequirements:
    @pytest.mark.parametrize(
        ("package", "name"),
        [
            ("numpy", "numpy"),
            ("scipy>=1.10,<2", "scipy"),
            ("pandas[excel]==2.0", "pandas"),
            ("a.b_c-d ; python_version > '3.9'", "a.b_c-d"),
            ("six @ file:///x", "six"),
        ],
    )
    def test_names(self, package, name):
        assert requirements.name_of(package) == name

    @pytest.mark.parametrize(
        "package", ["", "-r /etc/passwd", "--index-url=x", "a\nb", "a\n--pre", ";x", "../a", "a\x00"]
    )
    def test_what_is_no_requirement_is_refused(self, package):
        with pytest.raises(ImageError, match="is not a pip requirement"):
            requirements.normalized((package,))

    def test_order_and_doubles_do_not_matter(self):
        assert requirements.normalized(("b", "a", "b ")) == ("a", "b")


class TestTag:
    def test_it_is_that_of_what_is_in_the_image(self, monkeypatch, tmp_path):
        def tag(*packages, base="x"):
            return images._Recipe(base=base, packages=packages).tag

        assert tag("numpy") == tag("numpy") != tag("scipy")
        assert tag() != tag(base="y")
        before = tag()
        (tmp_path / "repl.py").write_text("")
        monkeypatch.setattr(images, "_INSIDE", tmp_path)
        assert tag() != before


def test_the_process_backend_names_what_is_missing(process_backend):
    with pytest.raises(ImageError, match="no-such-package") as failure:
        process_backend.start(SandboxSpec(packages=("pytest", "no-such-package>=1")))
    assert "pip install" in str(failure.value)
    assert "pytest " not in str(failure.value).split("lacks:")[1].split(".")[0]


def test_without_mmdebstrap_no_base_is_built(monkeypatch, tmp_path):
    monkeypatch.setattr(debian_base.shutil, "which", lambda name: None)
    with pytest.raises(ImageError, match="mmdebstrap"):
        debian_base.build(None, log=tmp_path / "log")


@pytest.mark.docker
class TestBuild:
    @pytest.fixture
    def client(self, engine):
        client = open_client()
        yield client
        client.close()

    @pytest.fixture
    def names(self):
        """Package sets of this test only: one that works, one that cannot be imported."""
        mark = uuid.uuid4().hex[:8]
        return f"good{mark}", f"bad{mark}"

    @pytest.fixture
    def build(self, client, names, tmp_path, state_dir):
        good, bad = names
        write_wheel(tmp_path, good, "VALUE = 42\n")
        write_wheel(tmp_path, bad, "import nothing_like_it\n")
        settings = settings_for_tests(state_dir, wheels=tmp_path, index_url="none")
        built = []

        def build(*packages):
            built.append(Images(client, settings=settings).prepare(packages))
            return built[-1]

        yield build
        for tag in set(built):
            client.remove_image(tag, force=True)

    def test_a_package_from_a_wheel_folder_is_there(self, build, names, docker_backend):
        good, _ = names
        assert build(good) == build(f"{good} ")
        sandbox = docker_backend.start(SandboxSpec(packages=(good,), limits=SMALL))
        try:
            assert sandbox.execute(f"import {good}; {good}.VALUE", time_limit=10).out == "42"
            code = "import glob; glob.glob('/build') + glob.glob('/*/.cache')"
            assert sandbox.execute(code, time_limit=10).out == "[]"
        finally:
            sandbox.close()

    def test_a_package_that_cannot_be_imported_is_named(self, build, names):
        good, bad = names
        with pytest.raises(ImageError, match=f"the image for {bad} could not be built") as failure:
            build(good, bad)
        assert "ModuleNotFoundError" in str(failure.value)
        assert "nothing_like_it" in failure.value.log

    def test_a_package_that_is_nowhere_is_named(self, build, names):
        with pytest.raises(ImageError, match="the image for nowhere-to-be-found could not be built"):
            build(names[0], "nowhere-to-be-found")

    def test_a_build_keeps_its_log(self, build, names, state_dir):
        _, _, digest = build(names[0]).partition(":")
        assert "Successfully installed" in (state_dir / "builds" / f"{digest}.log").read_text()


def write_wheel(folder, name, code):
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
        record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        wheel.writestr(f"{info}/RECORD", record)
