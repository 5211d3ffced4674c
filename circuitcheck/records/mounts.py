"""Which file system a file is on, as Linux lists them: SQLite's write-ahead log needs memory that all writers share, and so one machine.

network(Path("/home/ada/.circuitcheck/evidence.sqlite"))     # 'nfs4 at /home'; empty on a disk of this machine
"""

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
_NETWORK = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
}
_NETWORK |= {"panfs", "pvfs2", "smb", "smb2", "smb3", "smbfs", "wekafs"}
# File systems of users' own programs that reach another machine.
_NETWORK |= {
    f"fuse.{name}"
    for name in ("ceph", "cephfs", "curlftpfs", "davfs2", "gcsfuse", "glusterfs", "goofys", "juicefs", "rclone")
}
_NETWORK |= {f"fuse.{name}" for name in ("s3fs", "seaweedfs", "smbnetfs", "sshfs", "beegfs", "mount-s3", "lustre")}


def network(path: Path) -> str:
    """The network file system that a file, which need not be there yet, is on, and where that is mounted; empty for any other, and
    where the system does not list its mounts."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        place = path.resolve()
    except (OSError, ValueError, RuntimeError):
        return ""
    found, kind = Path("/"), ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        # The last of those that are mounted at one place is the one that is seen there.
        if place.is_relative_to(mounted) and len(mounted.parts) >= len(found.parts):
            found, kind = mounted, fields[2]
    return f"{kind} at {found}" if kind in _NETWORK else ""
