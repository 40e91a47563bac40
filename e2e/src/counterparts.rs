//! More services on the lab's second host: of other protocols than HTTP, and of HTTP at its edges.

mod holding;
mod mcp;
mod model;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    agent,
    lab::{self, Lab},
    nginx::{self, Site},
    peers, service, wait,
};

pub use self::{
    holding::{Arrived, Holding, holding},
    mcp::{CONFORMANCE, CONFORMANCE_IN_THE_CLEAR, conformance, mcp},
    model::{MODEL, Model, model},
};

/// A server, ended when this is dropped.
pub struct Running(Child);

impl From<Child> for Running {
    fn from(server: Child) -> Self {
        Self(server)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The servers of `peers/python/server.py`.
pub fn python(lab: &Lab, token: &str) -> Result<Running> {
    let script = lab.write("service/server.py", peers::file("python/server.py")?)?;
    let mut server = lab
        .on_host(peers::python()?)
        .arg(script)
        .arg(lab.path("service/server.pem"))
        .arg(lab.path("service/server.key"))
        .arg(token)
        .stdout(Stdio::piped())
        .stderr(fs::File::create(lab.path("service/python.log"))?)
        .spawn()
        .context("start the servers in Python")?;
    let mut line = String::new();
    let out = server.stdout.take().context("the servers have a stdout")?;
    BufReader::new(out).read_line(&mut line)?;
    let running = Running(server);
    ensure!(
        line.trim() == "ready",
        "the servers in Python: {}",
        fs::read_to_string(lab.path("service/python.log"))?
    );
    Ok(running)
}

/// The port of a service that has a root of its own.
pub const OTHER_ROOT: u16 = 8452;
/// What it answers.
pub const OF_OTHER_ROOT: &str = "refs/heads/of-the-users-root";

/// A service by the name [`service::OTHER_NAME`] whose certificate chains to another root, and that root.
pub fn other_root(lab: &Lab) -> Result<(Running, String)> {
    let names = [service::OTHER_NAME];
    let root = service::certify(lab, "service/other", "The user's own authority", &names)?;
    let script = peers::file("python/other_root.py")?;
    let script = lab.write("service/other_root.py", script)?;
    let server = lab
        .on_host(agent::python()?)
        .arg(script)
        .arg(lab.path("service/other.pem"))
        .arg(lab.path("service/other.key"))
        .arg(OTHER_ROOT.to_string())
        .spawn()
        .context("start a service of another root")?;
    let running = Running(server);
    lab.until_listens(OTHER_ROOT)?;
    Ok((running, root))
}

/// The port of `PostgreSQL`.
pub const POSTGRES: u16 = 5432;
/// The password of its user `postgres`.
pub const PASSWORD: &str = "lab-password";

/// `PostgreSQL`, with a password for whoever comes.
pub fn postgres(lab: &Lab) -> Result<Running> {
    let programs = postgres_programs()?;
    let data = lab.path("postgres");
    fs::create_dir_all(&data)?;
    let (uid, gid) = user("postgres")?;
    chown(&data, Some(uid), Some(gid))?;
    let password = lab.write("postgres-password", PASSWORD)?;
    let as_postgres = |program: &str| {
        let mut command = lab.on_host("setpriv");
        command
            .args([
                "--reuid",
                "postgres",
                "--regid",
                "postgres",
                "--clear-groups",
            ])
            .arg(programs.join(program));
        command
    };
    let mut initdb = as_postgres("initdb");
    initdb.args([
        "--auth",
        "scram-sha-256",
        "--no-sync",
        "--username",
        "postgres",
        "--pwfile",
    ]);
    lab::run(initdb.arg(&password).arg("-D").arg(&data))?;
    let access = data.join("pg_hba.conf");
    fs::write(&access, "host all all all scram-sha-256\n")?;
    let server = as_postgres("postgres")
        .arg("-D")
        .arg(&data)
        .args([
            "-c",
            "listen_addresses=*",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ])
        .stdout(Stdio::null())
        .stderr(fs::File::create(lab.path("postgres.log"))?)
        .spawn()
        .context("start PostgreSQL")?;
    let running = Running(server);
    lab.until_listens(POSTGRES)?;
    Ok(running)
}

/// The newest that Debian has.
fn postgres_programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("find PostgreSQL")?;
    let mut versions: Vec<PathBuf> = versions
        .map(|entry| Ok(entry?.path().join("bin")))
        .collect::<Result<_>>()?;
    versions.sort();
    versions.pop().context("find PostgreSQL")
}

/// The port of Redis.
pub const REDIS: u16 = 6379;

/// Redis, without a password.
pub fn redis(lab: &Lab) -> Result<Running> {
    let server = lab
        .on_host("redis-server")
        .args(["--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""])
        .stdout(Stdio::null())
        .spawn()
        .context("start Redis")?;
    let running = Running(server);
    lab.until_listens(REDIS)?;
    Ok(running)
}

/// The port of ssh.
pub const SSH: u16 = 22;

/// ssh, for root with the key that this returns; it has a key of its own, and says so in `service/known_hosts`.
pub fn ssh(lab: &Lab) -> Result<(Running, PathBuf)> {
    let key = |name: &str| -> Result<PathBuf> {
        let file = lab.write(&format!("ssh/{name}"), "")?;
        fs::remove_file(&file)?;
        let mut keygen = Command::new("ssh-keygen");
        let keygen = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
        lab::run(keygen.arg(&file))?;
        Ok(file)
    };
    let (host, user) = (key("host")?, key("user")?);
    let known = fs::read_to_string(host.with_extension("pub"))?;
    lab.write("ssh/known_hosts", format!("{} {known}", service::NAME))?;
    let configuration = format!(
        "HostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nPidFile none\n",
        host.display(),
        user.with_extension("pub").display(),
    );
    let configuration = lab.write("ssh/sshd_config", configuration)?;
    // Where it puts its child before anybody is logged in; its package makes the folder when its service starts.
    fs::create_dir_all("/run/sshd").context("make /run/sshd")?;
    let server = lab
        .on_host("/usr/sbin/sshd")
        .arg("-D")
        .arg("-E")
        .arg(lab.path("ssh/sshd.log"))
        .arg("-f")
        .arg(configuration)
        .spawn()
        .context("start sshd")?;
    let running = Running(server);
    lab.until_listens(SSH)?;
    Ok((running, user))
}

/// The port of git over HTTPS.
pub const GIT: u16 = 8446;

/// git over HTTPS as nginx serves it, with a user name and a password, and an empty repository `repo.git`.
pub fn git(lab: &Lab, username: &str, password: &str) -> Result<[Running; 2]> {
    let folder = lab.path("git");
    fs::create_dir_all(&folder)?;
    let repository = folder.join("repo.git");
    lab::run(
        Command::new("git")
            .args(["init", "--quiet", "--bare"])
            .arg(&repository),
    )?;
    lab::run(Command::new("git").arg("-C").arg(&repository).args([
        "config",
        "http.receivepack",
        "true",
    ]))?;
    let socket = folder.join("fcgi.sock");
    let gateway = Running(
        lab.on_host("fcgiwrap")
            .arg("-s")
            .arg(format!("unix:{}", socket.display()))
            .spawn()
            .context("start fcgiwrap")?,
    );
    wait::until("fcgiwrap listens", Duration::from_secs(10), || {
        Ok(socket.exists().then_some(()))
    })?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777))?;
    let site = Site {
        folder: "git",
        connections: 256,
        ports: &[GIT],
        http: git_http(lab, &folder, username, password),
    };
    Ok([nginx::start(lab, &site)?, gateway])
}

fn git_http(lab: &Lab, folder: &Path, username: &str, password: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let pair = STANDARD.encode(format!("{username}:{password}"));
    let (folder, keys) = (folder.display(), lab.path("service"));
    let keys = keys.display();
    format!(
        r#"
  access_log {folder}/access.log;
  client_max_body_size 1g;
  server {{
    listen {GIT} ssl http2;
    ssl_certificate {keys}/server.pem;
    ssl_certificate_key {keys}/server.key;
    location / {{
      if ($http_authorization != "Basic {pair}") {{ return 401; }}
      fastcgi_pass unix:{folder}/fcgi.sock;
      fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param GIT_PROJECT_ROOT {folder};
      fastcgi_param PATH_INFO $uri;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
      fastcgi_param REMOTE_USER {username};
    }}
  }}
"#
    )
}

fn user(name: &str) -> Result<(u32, u32)> {
    let id = |flag: &str| -> Result<u32> {
        let output = lab::run(Command::new("id").args([flag, name]))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
    };
    Ok((id("-u")?, id("-g")?))
}
