//! A plugin of QEMU's that counts what its guest executes, in memory that others read meanwhile.
//!
//! What enters is what QEMU translates; what leaves is a file with an entry for each block or instruction, and how often
//! each vCPU executed it (docs/trace-memory.md).
//!
//! What always holds: the file has what was executed up to now at any time, also after QEMU was killed; the guest executes
//! what it would without; a guest with more code than there is room for runs on, and the file says so.
#![allow(unsafe_code, reason = "QEMU calls what has C's names, with pointers")]

mod api;
mod arguments;
mod branch;
mod callbacks;
mod exits;
mod graft;
mod interrupted;
mod layout;
mod mapping;
mod memory;
mod plugin;
mod privilege;
mod registers;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use api::{Info, PluginId, RawBlock};
use arguments::Arguments;
use plugin::Plugin;

/// The interface's version that QEMU must have: it looks here first.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "it is QEMU's name")]
pub static qemu_plugin_version: c_int = api::API_VERSION;

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// QEMU calls it when it has loaded the plugin.
///
/// # Safety
///
/// Only QEMU calls it: the pointers are to what its interface says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    info: *const c_void,
    num_arguments: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU's word.
    let info = unsafe { Info::new(info.cast()) };
    let num = if arguments.is_null() { 0 } else { usize::try_from(num_arguments).unwrap_or(0) };
    let words = (0..num).map(|index| {
        // SAFETY: there are so many strings.
        unsafe { CStr::from_ptr(*arguments.add(index)) }.to_bytes()
    });
    let plugin = Arguments::parse(words).and_then(|arguments| Plugin::new(&arguments, &info));
    match plugin {
        Ok(plugin) => {
            let plugin = PLUGIN.get_or_init(|| plugin);
            plugin.api.on_vcpu(id, on_vcpu);
            plugin.api.on_translation(id, on_translation);
            plugin.api.on_end(id, on_end);
            0
        }
        Err(error) => {
            say(&error);
            -1
        }
    }
}

extern "C" fn on_vcpu(_: PluginId, vcpu: c_uint) {
    if let Some(plugin) = PLUGIN.get() {
        plugin.vcpu(vcpu);
    }
}

extern "C" fn on_translation(_: PluginId, block: *mut RawBlock) {
    if let Some(plugin) = PLUGIN.get() {
        // SAFETY: QEMU lends the block for the time of this call.
        plugin.translated(&unsafe { plugin.api.block(block) });
    }
}

extern "C" fn on_end(_: PluginId, _: *mut c_void) {
    if let Some(plugin) = PLUGIN.get() {
        plugin.end();
    }
}

/// Says something on the standard error output, one line.
fn say(line: &str) {
    use std::io::Write;
    // There may be nobody who listens.
    let _ = writeln!(std::io::stderr(), "covtap-qemu-plugin: {line}");
}
