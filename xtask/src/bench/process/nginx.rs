//! nginx: built with coverage, and serving one file.
//!
//! What always holds: its port is bound here, and handed over as nginx hands its own sockets to a newer nginx; master and
//! worker end with their handle.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use command_fds::{CommandFdExt, FdMapping};
use covtap_testbed::{tool, workspace_root};
use nix::unistd::Uid;

use super::{PATIENCE, wait_until};
use crate::child::{self, Group};
use crate::provision::source;

/// The descriptor that nginx finds its socket on.
const LISTENER_FD: i32 = 3;

/// How clang counts.
const COVERAGE: &str = "-fprofile-instr-generate -fcoverage-mapping";

/// Builds what is not there yet, and gives the program.
pub(super) fn build() -> Result<PathBuf> {
    let source = source::of("nginx")?;
    let dir = workspace_root().join("target/bench-nginx");
    let (program, stamp) = (dir.join("nginx"), dir.join("options"));
    let compiler = format!("--with-cc-opt=-O2 {COVERAGE} -Wno-error");
    let options = [
        "--with-cc=clang-19",
        &compiler,
        "--with-http_stub_status_module",
        "--without-http_rewrite_module",
        "--without-http_gzip_module",
    ];
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == options.join("\n")) {
        return Ok(program);
    }
    println!("building nginx in {}", dir.display());
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let [leave, object] = ["leave.c", "leave.o"].map(|name| dir.join(name));
    fs::write(&leave, include_str!("leave.c")).with_context(|| format!("write {}", leave.display()))?;
    let mut compile = Command::new(tool("clang-19")?);
    child::run_well(compile.args(["-O2", "-c"]).arg(&leave).arg("-o").arg(&object))?;
    let mut configure = Command::new(source.join("configure"));
    configure.args(options).arg(format!("--with-ld-opt={COVERAGE} {}", object.display()));
    let mut make = Command::new(tool("make")?);
    make.arg(format!("-j{}", std::thread::available_parallelism().map_or(1, usize::from)));
    for command in [&mut configure, &mut make] {
        // Programs that are run to find out about the compiler need not leave profiles about.
        command.current_dir(&source).env("LLVM_PROFILE_FILE", "/dev/null").stdout(Stdio::null());
        child::run_well(command)?;
    }
    // The last, so that what is there is whole.
    fs::copy(source.join("objs/nginx"), dir.join("nginx.part")).context("copy nginx")?;
    fs::rename(dir.join("nginx.part"), &program).context("move nginx")?;
    fs::write(&stamp, options.join("\n")).with_context(|| format!("write {}", stamp.display()))?;
    Ok(program)
}

/// An nginx with one worker.
pub(super) struct Server {
    _master: Group,
    worker: i32,
    port: u16,
    profile: PathBuf,
}

impl Server {
    /// Starts it, with its files in `dir`.
    ///
    /// # Errors
    ///
    /// It could not be started, or made no worker.
    pub(super) fn start(program: &Path, dir: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("bind the server's port")?;
        listener.set_nonblocking(true).context("prepare the server's socket")?;
        let port = listener.local_addr().context("the server's address")?.port();
        let config = dir.join("nginx.conf");
        fs::write(dir.join("index.html"), "covtap\n").context("write what is served")?;
        fs::write(&config, configuration(dir, port)).context("write the server's configuration")?;
        let profile = dir.join("own.profraw");
        let mut command = Command::new(program);
        command.arg("-p").arg(dir).arg("-c").arg(&config).env("LLVM_PROFILE_FILE", &profile);
        command.env("NGINX", format!("{LISTENER_FD};"));
        let socket = FdMapping { parent_fd: OwnedFd::from(listener), child_fd: LISTENER_FD };
        command.fd_mappings(vec![socket]).context("hand the socket to nginx")?;
        let mut master = Group::spawn(&mut command)?;
        let children = format!("/proc/{0}/task/{0}/children", master.pid());
        let worker = wait_until("nginx starts a worker", || {
            anyhow::ensure!(master.ended()?.is_none(), "nginx ended");
            let pids = fs::read_to_string(&children).with_context(|| format!("read {children}"))?;
            Ok(pids.split_whitespace().next().and_then(|pid| pid.parse().ok()))
        })?;
        Ok(Self { _master: master, worker, port, profile })
    }

    /// Where the file is.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/index.html", self.port)
    }

    /// How many requests it has served, this one too, as it tells itself.
    ///
    /// # Errors
    ///
    /// It could not be asked, or answered something else.
    pub(super) fn requests(&self) -> Result<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).context("connect to the server")?;
        stream.set_read_timeout(Some(PATIENCE)).context("prepare the connection")?;
        stream.write_all(b"GET /status HTTP/1.0\r\n\r\n").context("ask the server")?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer).context("read the server's answer")?;
        // Below their names: connections taken, connections served, requests.
        let numbers = answer.lines().skip_while(|line| !line.contains("handled requests")).nth(1);
        let requests = numbers.and_then(|numbers| numbers.split_whitespace().nth(2)?.parse().ok());
        requests.with_context(|| format!("the server answered {answer:?}"))
    }

    /// The worker's process id.
    pub(super) fn worker(&self) -> i32 {
        self.worker
    }

    /// Where the first of its processes that ends writes its profile.
    pub(super) fn profile(&self) -> PathBuf {
        self.profile.clone()
    }
}

fn configuration(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    // The worker has to read what is served and to write its profile where only this user may.
    let user = if Uid::effective().is_root() { "user root;\n" } else { "" };
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {dir}/{name};\n"))
        .concat();
    format!(
        "{user}daemon off;\nworker_processes 1;\nworker_cpu_affinity 10;\nerror_log stderr error;\npid {dir}/pid;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n  access_log off;\n{paths}  server {{ listen 127.0.0.1:{port}; root {dir};\n    location /status {{ stub_status; }} }}\n}}\n"
    )
}
