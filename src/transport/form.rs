//! stub
use super::{BatchLimits, BoxFuture, ConnectOptions, Failure, FormAddress, Outcome, Polled, Sink, Source};
use crate::events::EncodedEvent;
#[derive(Debug)]
/// stub
pub struct FormSink;
impl FormSink {
    /// stub
    pub fn new(_: FormAddress, _: &ConnectOptions) -> Result<Self, Failure> {
        Err(Failure::destination("stub"))
    }
}
impl Sink for FormSink {
    fn limits(&self) -> BatchLimits {
        BatchLimits::ONE
    }
    fn send<'a>(&'a self, _: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(async { Err(Failure::service("stub")) })
    }
}
#[derive(Debug)]
/// stub
pub struct FormSource;
impl FormSource {
    /// stub
    pub fn new(_: FormAddress, _: &ConnectOptions) -> Result<Self, Failure> {
        Err(Failure::destination("stub"))
    }
}
impl Source for FormSource {
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, Failure>> {
        Box::pin(async { Ok(Polled::UpToDate) })
    }
}
