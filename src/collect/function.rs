//! The functions whose calls are met, as they are found in the programs.
//!
//! What enters is a name and the programs that the target runs; what leaves is where the function begins, and how calls are
//! made there. What always holds: there is exactly one function of that name, and its architecture's calls are known.

use std::fmt;

use covtap_link::{LinkError, RunControl, TargetAddr};

use super::abi::{self, Abi};
use super::{CollectError, MeteredLink};
use crate::image::{Image, ImageAddr, Slide, Symbol, SymbolKind};

/// What the calls of a function are wanted for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// A snapshot before a reset, and not the names of tests.
    is_before_reset: bool,
    /// The function's name in the ELF.
    symbol: String,
}

/// Calls cannot be met.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody keeps the tests.
    #[error("{wanted}: the session keeps no tests")]
    NoTests {
        /// The function.
        wanted: Wanted,
    },
    /// No program has it.
    #[error("{wanted}: no ELF has a function of that name")]
    NoSymbol {
        /// The function.
        wanted: Wanted,
    },
    /// There are several.
    #[error("{wanted}: there is one at {first} and one at {second}")]
    Several {
        /// The function.
        wanted: Wanted,
        /// Where the first one is.
        first: TargetAddr,
        /// Where another one is.
        second: TargetAddr,
    },
    /// Calls of that architecture are not known.
    #[error("{wanted}: how calls are made on {architecture} is not known")]
    NoAbi {
        /// The function.
        wanted: Wanted,
        /// The image's architecture.
        architecture: &'static str,
    },
    /// The argument is nowhere that is known.
    #[error("{wanted}: argument {argument} is out of reach: the first {reached} are found")]
    NoArgument {
        /// The function.
        wanted: Wanted,
        /// Its number.
        argument: usize,
        /// How many can be found.
        reached: usize,
    },
    /// The link has no breakpoints.
    #[error("{wanted}: this way to {endpoint} has no breakpoints")]
    NoControl {
        /// The function.
        wanted: Wanted,
        /// Where the target is.
        endpoint: String,
    },
}

/// Where the target is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Breakpoint {
    pub(super) at: TargetAddr,
    /// As the `Z0` packet has it.
    pub(super) kind: u8,
}

/// A function of the target's.
#[derive(Clone, Debug)]
pub(super) struct Function {
    wanted: Wanted,
    pub(super) entry: Breakpoint,
    pub(super) abi: &'static Abi,
}

/// A function that the target calls before it resets itself.
#[derive(Clone, Debug)]
pub struct ResetOn {
    pub(super) function: Function,
    /// Where the program begins, if the ELF says so.
    pub(super) start: Option<Breakpoint>,
    /// Where its start-up code is done, if it has a `main`.
    pub(super) main: Option<Breakpoint>,
}

impl Wanted {
    /// The calls name tests.
    #[must_use]
    pub fn tests(symbol: &str) -> Self {
        Self { is_before_reset: false, symbol: symbol.to_owned() }
    }

    /// A snapshot is taken at the calls: the target resets itself then.
    #[must_use]
    pub fn snapshots(symbol: &str) -> Self {
        Self { is_before_reset: true, symbol: symbol.to_owned() }
    }

    /// Whether it is for a snapshot before a reset.
    #[must_use]
    pub fn is_before_reset(&self) -> bool {
        self.is_before_reset
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_before_reset { "take snapshots at calls of" } else { "label tests on" };
        write!(f, "{what} {}", self.symbol)
    }
}

impl Function {
    /// Finds the function in the programs that the target runs, and which one has it.
    pub(super) fn find<'a>(
        wanted: &Wanted,
        programs: impl Iterator<Item = (&'a Image, Slide)>,
    ) -> Result<(Self, &'a Image, Slide), CallError> {
        let wanted = || wanted.clone();
        let mut found: Option<(Self, &Image, Slide)> = None;
        for (image, slide) in programs {
            let name = wanted().symbol;
            let is_it = |it: &Symbol<'_>| it.name == name && it.kind != SymbolKind::Object;
            for function in image.symbols().filter(is_it) {
                let Some(abi) = Abi::of(image.machine()) else {
                    return Err(CallError::NoAbi { wanted: wanted(), architecture: image.architecture() });
                };
                let entry = Breakpoint::at(image, slide, function.address);
                match &found {
                    Some((other, ..)) if other.entry.at != entry.at => {
                        let (first, second) = (other.entry.at, entry.at);
                        return Err(CallError::Several { wanted: wanted(), first, second });
                    }
                    _ => found = Some((Self { wanted: wanted(), entry, abi }, image, slide)),
                }
            }
        }
        found.ok_or_else(|| CallError::NoSymbol { wanted: wanted() })
    }

    /// Its name.
    pub(super) fn symbol(&self) -> &str {
        &self.wanted.symbol
    }

    /// Where it begins.
    pub(super) fn entry(&self) -> TargetAddr {
        self.entry.at
    }

    /// The power to stop the target at it.
    pub(super) fn control<'l>(
        &self,
        link: &'l mut MeteredLink,
    ) -> Result<&'l mut dyn RunControl, CollectError> {
        let endpoint = link.info().endpoint;
        let none = || CallError::NoControl { wanted: self.wanted.clone(), endpoint };
        Ok(link.control().ok_or_else(none)?)
    }
}

impl Breakpoint {
    fn at(image: &Image, slide: Slide, addr: ImageAddr) -> Self {
        let (at, kind) = abi::entry(image, slide, addr);
        Self { at, kind }
    }
}

impl ResetOn {
    /// Finds the function in the programs that the target runs.
    ///
    /// # Errors
    ///
    /// There is none, or several are.
    pub fn find<'a>(
        symbol: &str,
        programs: impl Iterator<Item = (&'a Image, Slide)>,
    ) -> Result<Self, CallError> {
        let (function, image, slide) = Function::find(&Wanted::snapshots(symbol), programs)?;
        let start = image.entry().map(|start| Breakpoint::at(image, slide, start));
        let main = image.symbols().find(|it| it.name == "main" && it.kind != SymbolKind::Object);
        let main = main.map(|main| Breakpoint::at(image, slide, main.address));
        // A target that resets itself by a jump there says nothing more when it comes there.
        let is_other = |it: &Breakpoint| it.at != function.entry.at;
        let (start, main) = (start.filter(is_other), main.filter(is_other));
        Ok(Self { function, start, main })
    }

    /// The function's name.
    #[must_use]
    pub fn symbol(&self) -> &str {
        self.function.symbol()
    }

    /// Where it begins.
    #[must_use]
    pub fn entry(&self) -> TargetAddr {
        self.function.entry()
    }
}

/// The first of several registers that the server knows.
pub(super) fn read_any(control: &mut dyn RunControl, names: &[&str]) -> Result<u64, LinkError> {
    let mut names = names.iter();
    let mut read = control.read_register(names.next().copied().unwrap_or("pc"));
    for name in names {
        match read {
            Err(LinkError::Unsupported { .. }) => read = control.read_register(name),
            _ => break,
        }
    }
    read
}
