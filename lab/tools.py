"""Where the programs come from: clusterd from the build folder, the lab's own helpers compiled on demand."""
import fcntl
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(HERE)
BUILD = os.path.abspath(os.environ.get("CLUSTERD_BUILD", PROJECT + "/build/release"))
# As a package is installed, the helpers lie beside this folder, and the programs are those of the system.
INSTALLED = PROJECT + "/helpers"
HELPERS = os.environ.get("CLUSTERLAB_HELPERS", PROJECT + "/build/lab")
FOLDERS = {"clusterd": "src/daemon", "clusterctl": "src/ctl", "clusterd-mirror": "src/daemon", "clusterd-check": "bin"}


def program(name):
    """The full path of one of our programs."""
    for folder in ("bin", FOLDERS.get(name, ""), ""):
        candidate = os.path.join(BUILD, folder, name)
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    found = _anywhere(name) or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} has not been built in {BUILD} (set CLUSTERD_BUILD, or run cmake there)")
    return found


def _anywhere(name):
    for folder, _, files in os.walk(BUILD):
        if name in files and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    return None


def path_variable():
    """PATH with clusterctl in it, for people who look around in a node."""
    folders = []
    for name in FOLDERS:
        try:
            folders.append(os.path.dirname(program(name)))
        except FileNotFoundError:
            pass
    return ":".join(list(dict.fromkeys(folders)) + ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin",
                                                    "/sbin", "/bin"])


def install(root):
    """Installs clusterd as on a server, with `root` in place of /. Without a build folder the system's own is there."""
    if not os.path.exists(BUILD + "/cmake_install.cmake"):
        return
    os.makedirs(HELPERS, exist_ok=True)
    tree = f"{HELPERS}/installed"
    with open(tree + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _refresh(tree)
        # Nobody writes into an installed file, so machines may share them.
        if subprocess.run(["cp", "-a", "--link", tree + "/.", root], capture_output=True, check=False).returncode != 0:
            subprocess.run(["cp", "-a", tree + "/.", root], check=True, capture_output=True)


def _refresh(tree):
    """All that is installed, made anew when something of it is newer."""
    sources = [BUILD + "/cmake_install.cmake", BUILD + "/bin", PROJECT + "/packaging", PROJECT + "/docs"]
    made_of = f"{BUILD} {max(map(_newest, sources))}"
    if not _says(tree + ".of", made_of):
        shutil.rmtree(tree, ignore_errors=True)
        subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr"], check=True, capture_output=True,
                       env={**os.environ, "DESTDIR": tree})
        with open(tree + ".of", "w", encoding="utf-8") as file:
            file.write(made_of)


def _newest(path):
    """When anything at or below the path was last changed."""
    below = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return max(os.lstat(one).st_mtime_ns for one in [path, *below])


def _says(path, text):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() == text
    except OSError:
        return False


def helper(name):
    """A helper of the lab, compiled from lab/<name>.cpp when that is newer."""
    if os.path.exists(f"{INSTALLED}/{name}"):
        return f"{INSTALLED}/{name}"
    source, target = f"{HERE}/{name}.cpp", f"{HELPERS}/{name}"
    os.makedirs(HELPERS, exist_ok=True)
    with open(target + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
            subprocess.run(["g++", "-std=c++20", "-O2", "-Wall", "-Wextra", "-o", target + ".new", source],
                           check=True)
            os.replace(target + ".new", target)
    return target
