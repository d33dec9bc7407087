//! The link against real guests, with QEMU's own `pmemsave` as the oracle and a second monitor as the witness
//! that the guest was never stopped.

// Helpers of tests may panic as tests do; clippy knows them by this attribute.
#[cfg(test)]
mod events;
#[cfg(test)]
mod methods;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod support;
#[cfg(test)]
mod virtual_memory;
