//! What tenants, servers and readers of files may try: nobody stops the meter, goes unbilled, or loses another's events.

#[cfg(target_os = "linux")]
mod metering;
