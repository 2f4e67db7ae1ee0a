//! Tenants, servers, clients and files that want to do harm: what each of them can't do.

mod ids;
mod queue;
mod servers;
