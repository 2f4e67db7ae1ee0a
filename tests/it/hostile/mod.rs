//! Tenants, servers, clients and files that want to do harm: what each of them can't do.

#[cfg(target_os = "linux")]
mod files;
mod waits;
