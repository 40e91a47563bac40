//! A program on a filesystem that answers everybody but one process.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{UnmountFlags, unmount};

use crate::lab::Lab;

/// Serves one executable file over `/dev/fuse` (include/uapi/linux/fuse.h), and does not answer that process when it
/// opens the file: `mount FOLDER CONTENT`, then the process's number on standard input.
const SERVER: &str = r#"
import ctypes, os, struct, sys, threading
folder, source = sys.argv[1:]
content = open(source, "rb").read()
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"lanyard-test", folder.encode(), b"fuse", 0, options.encode()):
    raise OSError(ctypes.get_errno(), "mount")
print("mounted", flush=True)
ignored = set()
threading.Thread(target=lambda: [ignored.add(int(line)) for line in sys.stdin], daemon=True).start()
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, ACCESS = 1, 2, 3, 14, 15, 18, 25, 26, 34
INTERRUPT, FORGET_MANY = 36, 42

def attributes(node):
    mode, size = (0o40755, 4096) if node == 1 else (0o100755, len(content))
    return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

def group(thread):
    try:
        with open(f"/proc/{thread}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
    except OSError:
        return 0

def answer(opcode, node, body, process):
    if opcode == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, *[0] * 8)
    if opcode == LOOKUP:
        if body.rstrip(b"\0") != b"agent":
            return -2
        return struct.pack("<4Q2I", 2, 0, 0, 0, 0, 0) + attributes(2)
    if opcode == GETATTR:
        return struct.pack("<Q2I", 0, 0, 0) + attributes(node)
    if opcode == OPEN:
        return None if group(process) in ignored else struct.pack("<Q2I", 1, 0, 0)
    if opcode == READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        return content[offset:offset + size]
    if opcode in (RELEASE, FLUSH, ACCESS):
        return b""
    return -38

while True:
    request = os.read(fuse, 1 << 18)
    _, opcode, unique, node, _, _, process = struct.unpack_from("<IIQQIII", request)
    if opcode in (FORGET, FORGET_MANY, INTERRUPT):
        continue
    reply = answer(opcode, node, request[40:], process)
    if reply is None:
        print("silent", flush=True)
        continue
    error, data = (reply, b"") if isinstance(reply, int) else (0, reply)
    os.write(fuse, struct.pack("<IiQ", 16 + len(data), error, unique) + data)
"#;

/// Such a file. Dropping it ends the server, and with it every wait for an answer.
pub struct SilentFile {
    folder: PathBuf,
    server: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl SilentFile {
    /// Mounts a filesystem in the lab that has a copy of `program`.
    pub fn mount(lab: &Lab, python: &Path, program: &Path) -> Result<Self> {
        let script = lab.write("silent.py", SERVER)?;
        let folder = lab.path("programs/silent");
        std::fs::create_dir_all(&folder)?;
        let mut server = Command::new(python)
            .args([&script, &folder])
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a server for /dev/fuse")?;
        let said = server.stdout.take().context("its standard output")?;
        let mut file = Self {
            folder,
            server,
            said: BufReader::new(said),
        };
        file.until_it_says("mounted")?;
        Ok(file)
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.join("agent")
    }

    /// From now on that process waits for an answer.
    pub fn ignore(&mut self, process: u32) -> Result<()> {
        use std::io::Write as _;
        let stdin = self.server.stdin.as_mut().context("its standard input")?;
        writeln!(stdin, "{process}").context("tell the server whom to ignore")
    }

    /// Waits until an open is left without an answer.
    pub fn until_somebody_waits(&mut self) -> Result<()> {
        self.until_it_says("silent")
    }

    fn until_it_says(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        ensure!(
            line.trim_end() == word,
            "the server said {line:?}, not {word}"
        );
        Ok(())
    }
}

impl Drop for SilentFile {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = unmount(&self.folder, UnmountFlags::DETACH);
    }
}
