//! Translation against a monitor of a few lines, truthful or not.
