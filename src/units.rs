//! Units of the figures in an event.

/// Bytes in a GB, as every `*_gb` field counts: 2^30.
pub const BYTES_PER_GB: u64 = 1 << 30;

/// Bytes in an MB, as every `*_mb` field counts: 2^20.
pub const BYTES_PER_MB: u64 = 1 << 20;
