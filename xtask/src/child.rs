//! Child processes that do not outlive the verb that started them.
//!
//! What enters is a command; what leaves is its exit status, or [`Interrupted`].
//!
//! What always holds: a child leads a process group of its own, and the whole group is ended, by its id, when
//! its handle is dropped or Ctrl-C comes. Ctrl-C reaches this process only, which passes it on: so a child that
//! cleans up after itself has the time to.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use covtap_testbed::workspace_root;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::Outcome;

/// How often a child's end and an interruption are looked for.
const TICK: Duration = Duration::from_millis(10);

/// How long an interrupted child may take to end in its own way.
const GRACE: Duration = Duration::from_secs(3);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ctrl-C, or a signal that asks a process to end, came.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Listens to Ctrl-C and to the signals that ask a process to end, from now on.
pub(crate) fn listen() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)).context("listen to Ctrl-C")
}

/// Fails once the user has interrupted.
pub(crate) fn go_on() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(()) }
}

/// A running child and whatever it started.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    shown: String,
    ended: bool,
}

impl Group {
    /// Starts `command` in a process group of its own, with nothing to read on stdin.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let shown = show(command);
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("could not start `{shown}`"))?;
        Ok(Self { child, shown, ended: false })
    }

    /// Waits for the child's end.
    ///
    /// # Errors
    ///
    /// [`Interrupted`]: the group has then been asked to end, and made to.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if let Err(interrupted) = go_on() {
                self.end_gently()?;
                return Err(interrupted);
            }
            thread::sleep(TICK);
        }
    }

    /// The exit status, if the child has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().with_context(|| format!("wait for `{}`", self.shown))?;
        self.ended |= status.is_some();
        Ok(status)
    }

    /// Sends `signal` to the child and all it started.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        killpg(self.id()?, signal).with_context(|| format!("send {signal} to `{}`", self.shown))
    }

    /// The child's stdout, if it was piped.
    pub(crate) fn stdout(&mut self) -> Result<ChildStdout> {
        self.child.stdout.take().with_context(|| format!("stdout of `{}`", self.shown))
    }

    /// The child's stderr, if it was piped.
    pub(crate) fn stderr(&mut self) -> Result<ChildStderr> {
        self.child.stderr.take().with_context(|| format!("stderr of `{}`", self.shown))
    }

    /// The child's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn id(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id()).context("process id")?))
    }

    /// As Ctrl-C would, and by force after [`GRACE`].
    fn end_gently(&mut self) -> Result<()> {
        self.signal(Signal::SIGINT)?;
        let deadline = Instant::now() + GRACE;
        while self.ended()?.is_none() && Instant::now() < deadline {
            thread::sleep(TICK);
        }
        // The leader may have ended before those it started.
        let _ = self.signal(Signal::SIGKILL);
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            // Already ended is as good as ended now.
            let _ = self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// The lines that a child prints, as they come.
pub(crate) fn lines(printed: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(printed).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Runs `command` to its end with this process's stdout and stderr.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    Group::spawn(command)?.wait()
}

/// Runs `command` to its end and fails unless it exits with 0.
pub(crate) fn run_well(command: &mut Command) -> Result<()> {
    let status = run(command)?;
    if !status.success() {
        bail!("`{}` ended with {status}", show(command));
    }
    Ok(())
}

/// Runs `command` to its end, shows its stderr, and gives what it printed on stdout if it exits with 0.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let mut group = Group::spawn(command.stdout(Stdio::piped()))?;
    let mut stdout = group.stdout()?;
    let reader = thread::spawn(move || {
        let mut printed = String::new();
        stdout.read_to_string(&mut printed).map(|_| printed)
    });
    let status = group.wait()?;
    if !status.success() {
        bail!("`{}` ended with {status}", group.shown);
    }
    let printed = reader.join().map_err(|_| anyhow!("the reader of `{}` panicked", group.shown))?;
    printed.with_context(|| format!("read what `{}` prints", group.shown))
}

/// Sleeps, unless interrupted.
pub(crate) fn sleep(time: Duration) -> Result<()> {
    let deadline = Instant::now() + time;
    loop {
        go_on()?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(TICK));
    }
}

/// What a quick command prints, whatever its exit status.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("could not start `{}`", show(command)))
}

/// Cargo, the one that runs this program where one does.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(workspace_root());
    command
}

/// Figures of an unoptimised client would say nothing: starts this same command again, optimised.
pub(crate) fn again_in_release() -> Result<Outcome> {
    let mut command = cargo(["run", "--quiet", "--release", "--package", "xtask", "--"]);
    command.args(std::env::args_os().skip(1));
    eprintln!("xtask: this is a debug build; measuring with `{}`", show(&command));
    match run(&mut command)?.code() {
        Some(0) => Ok(Outcome::Passed),
        Some(1) => Ok(Outcome::Failed),
        _ => bail!("`{}` did not end well", show(&command)),
    }
}

/// A command as a user would type it at the workspace's root: where it runs if not there, the variables that are
/// set for it, the program by its name, and paths below the workspace from there.
pub(crate) fn show(command: &Command) -> String {
    let root = workspace_root();
    let inside = format!("{}/", root.display());
    let word = |word: &OsStr| quote(word.to_string_lossy().trim_start_matches(&inside));
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let elsewhere = command.get_current_dir().filter(|dir| *dir != root);
    let mut words: Vec<String> =
        elsewhere.iter().flat_map(|dir| ["cd".into(), word(dir.as_os_str()), "&&".into()]).collect();
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    words.extend(variables.map(|(name, value)| format!("{}={}", name.to_string_lossy(), word(value))));
    words.extend(std::iter::once(name).chain(command.get_args()).map(word));
    words.join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/usr/bin/gdb-multiarch");
        command.arg("-batch").arg("-ex").arg("print 1").arg("it's");
        command.arg(workspace_root().join("tests/fixtures"));
        assert_eq!(show(&command), r"gdb-multiarch -batch -ex 'print 1' 'it'\''s' tests/fixtures");
        let mut command = cargo(["doc"]);
        command.env("RUSTDOCFLAGS", "-D warnings").env_remove("RUSTFLAGS");
        assert!(show(&command).starts_with("RUSTDOCFLAGS='-D warnings' cargo"), "{}", show(&command));
        command.current_dir(workspace_root().join("examples"));
        assert!(show(&command).starts_with("cd examples && RUSTDOCFLAGS="), "{}", show(&command));
    }

    #[test]
    fn a_dropped_group_takes_with_it_what_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo started; wait"]).stdout(Stdio::piped());
        let mut group = Group::spawn(&mut command).unwrap();
        let mut stdout = group.stdout().unwrap();
        let mut line = [0; 8];
        stdout.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"started\n");
        drop(group);
        // The sleeper holds the other end of the pipe: it reads empty only once that one is gone, too.
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }

    #[test]
    fn an_exit_status_is_told() {
        assert_eq!(run(Command::new("sh").args(["-c", "exit 3"])).unwrap().code(), Some(3));
        let error = run_well(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c 'exit 3'` ended with exit status: 3");
    }
}
