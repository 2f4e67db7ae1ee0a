//! stub
use std::path::Path;

use super::{BatchLimits, BoxFuture, Failure, Outcome, Polled, Sink, Source};
use crate::events::EncodedEvent;
#[derive(Debug)]
pub struct SqliteSink;
impl SqliteSink {
    pub fn open(_: &Path) -> Result<Self, Failure> {
        Ok(Self)
    }
    pub fn stdout() -> Self {
        Self
    }
}
impl Sink for SqliteSink {
    fn limits(&self) -> BatchLimits {
        BatchLimits::ONE
    }
    fn send<'a>(&'a self, _: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(async { Err(Failure::service("stub")) })
    }
}
#[derive(Debug)]
pub struct SqliteSource;
impl SqliteSource {
    pub fn open(_: &Path) -> Result<Self, Failure> {
        Ok(Self)
    }
    pub fn stdin() -> Self {
        Self
    }
}
impl Source for SqliteSource {
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, Failure>> {
        Box::pin(async { Ok(Polled::UpToDate) })
    }
}
#[derive(Debug)]
pub struct EventStore;
