//! The publisher that services embed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::delivery::{Deferral, Delivery, Ending};
use super::intake::warn_of;
use crate::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig, CircuitState};
use crate::clock::{Clock, SystemClock};
use crate::errors::{InvalidConfig, UsageEventError};
use crate::events::{EncodedEvent, UsageEvent};
use crate::retry::{Random, Retrier, RetryConfig};
use crate::threshold::ThresholdManager;
use crate::transport::{self, BatchLimits, ConnectOptions, Destination, Failure, FormAddress, Reach, Sink};
use crate::validate::{self, EventRules, Implausible, ImplausibleWatch};

/// Publishes usage events: thresholds, circuit breaker, retries, and the result to the caller. It keeps no spool: what
/// it returns an error for is the caller's to keep and to publish again, under the same id.
///
/// Clones share one breaker and one connection pool. Building one needs no runtime and cannot fail; settings that make
/// no sense are reported by [`EventPublisher::check`] and by every publish, before anything is sent.
///
/// ```no_run
/// use form_usage_events::circuit_breaker::CircuitBreakerConfig;
/// use form_usage_events::events::{UsageEvent, UsageMetrics, UsagePeriod};
/// use form_usage_events::publish::EventPublisher;
/// use form_usage_events::retry::RetryConfig;
///
/// # async fn example(metrics: UsageMetrics) -> Result<(), form_usage_events::errors::UsageEventError> {
/// let publisher = EventPublisher::with_config("http://127.0.0.1".into(), 3003, "usage_events".into(), 0)
///     .with_retry_config(RetryConfig { max_retries: 5, ..RetryConfig::default() })
///     .with_circuit_breaker(CircuitBreakerConfig::default());
/// let period = UsagePeriod { start: 1_626_350_400, end: 1_626_350_430 };
/// publisher.publish(UsageEvent::new("instance-abc123".into(), "user_123456".into(), None, metrics, period)).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct EventPublisher {
    destination: Result<Destination, UsageErrorText>,
    options: ConnectOptions,
    sink: Option<Arc<dyn Sink>>,
    retry: RetryConfig,
    breaker: Option<Result<CircuitBreaker, InvalidConfig>>,
    thresholds: Option<Arc<ThresholdManager>>,
    /// What was warned of; shared by clones.
    watch: Arc<Mutex<ImplausibleWatch>>,
    clock: Arc<dyn Clock>,
    random: Random,
    /// Built at the first publish and shared by clones made before and after it.
    delivery: Arc<OnceLock<Result<Delivery, UsageErrorText>>>,
}

/// A message that can be told more than once.
type UsageErrorText = String;

impl Default for EventPublisher {
    fn default() -> Self {
        Self::new()
    }
}

impl EventPublisher {
    /// To the Form queue of this machine, `form://127.0.0.1:3003/usage_events?sub_topic=0`, with the default retries
    /// and no breaker.
    #[must_use]
    pub fn new() -> Self {
        Self::to(Destination::default())
    }

    /// To a Form queue.
    ///
    /// `endpoint` is a host (`127.0.0.1`, `queue.example`, `[::1]`) or its URL (`http://127.0.0.1`, `https://…` for
    /// TLS); a port in it is overridden by `port`. `topic` is the topic's plain name, `sub_topic` the first byte of
    /// each message.
    #[must_use]
    pub fn with_config(endpoint: String, port: u16, topic: String, sub_topic: u8) -> Self {
        Self { destination: form_destination(&endpoint, port, topic, sub_topic), ..Self::new() }
    }

    /// To any destination. What it needs beyond its URL comes with [`EventPublisher::with_connect_options`].
    ///
    /// ```
    /// use form_usage_events::publish::EventPublisher;
    /// use form_usage_events::transport::{CloudEventsMode, CloudEventsOptions, ConnectOptions, Destination};
    ///
    /// let billing: Destination = "https://billing.example/api/v1/events".parse()?;
    /// let cloud_events = CloudEventsOptions { mode: CloudEventsMode::Structured, ..CloudEventsOptions::default() };
    /// let options = ConnectOptions { token: Some("…".into()), cloud_events, ..ConnectOptions::default() };
    /// let publisher = EventPublisher::to(billing).with_connect_options(options);
    /// # Ok::<(), form_usage_events::transport::DestinationError>(())
    /// ```
    #[must_use]
    pub fn to(destination: Destination) -> Self {
        Self {
            destination: Ok(destination),
            options: ConnectOptions::default(),
            sink: None,
            retry: RetryConfig::default(),
            breaker: None,
            thresholds: None,
            watch: Arc::default(),
            clock: Arc::new(SystemClock),
            random: Random::default(),
            delivery: Arc::default(),
        }
    }

    /// To a sink of the caller's own.
    #[must_use]
    pub fn to_sink(sink: Arc<dyn Sink>) -> Self {
        Self { sink: Some(sink), ..Self::new() }
    }

    /// With these retries instead of the default ones.
    #[must_use]
    pub fn with_retry_config(self, config: RetryConfig) -> Self {
        Self { retry: config, ..self.rebuilt() }
    }

    /// With a circuit breaker.
    #[must_use]
    pub fn with_circuit_breaker(self, config: CircuitBreakerConfig) -> Self {
        let breaker = CircuitBreaker::with_clock(config, self.clock.clone());
        Self { breaker: Some(breaker), ..self.rebuilt() }
    }

    /// With a circuit breaker of the default settings.
    #[must_use]
    pub fn with_default_circuit_breaker(self) -> Self {
        self.with_circuit_breaker(CircuitBreakerConfig::default())
    }

    /// With thresholds that every event is checked against before it is sent. A notification that fails is logged and
    /// stops no publish.
    #[must_use]
    pub fn with_threshold_manager(self, manager: Arc<ThresholdManager>) -> Self {
        Self { thresholds: Some(manager), ..self }
    }

    /// With thresholds read from `source`: a file or a folder of files.
    ///
    /// # Errors
    /// When they can't be read or are not valid; all that is wrong is named.
    pub async fn with_new_threshold_manager(self, source: String) -> Result<Self, UsageEventError> {
        let manager = ThresholdManager::new(source);
        manager.load_configs().await?;
        Ok(self.with_threshold_manager(Arc::new(manager)))
    }

    /// With another time limit for an attempt, a token, or another form of CloudEvents.
    #[must_use]
    pub fn with_connect_options(self, options: ConnectOptions) -> Self {
        Self { options, ..self.rebuilt() }
    }

    /// On another clock and random source, for tests that know every wait. To be called before
    /// [`EventPublisher::with_circuit_breaker`], which takes the clock over.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>, random: Random) -> Self {
        Self { clock, random, ..self.rebuilt() }
    }

    /// A copy that has connected to nothing yet, so that later settings count.
    fn rebuilt(self) -> Self {
        Self { delivery: Arc::default(), ..self }
    }

    /// Checks the settings, which every publish does too.
    ///
    /// # Errors
    /// What makes no sense in them.
    pub fn check(&self) -> Result<(), UsageEventError> {
        self.delivery().map(|_| ())
    }

    /// What a call would meet now, where there is a breaker.
    #[must_use]
    pub fn circuit_state(&self) -> Option<CircuitState> {
        self.breaker.as_ref()?.as_ref().ok().map(CircuitBreaker::state)
    }

    /// Publishes one event: checks it, evaluates the thresholds, sends it with retries.
    ///
    /// What is no event is refused: figures that are negative or not finite, ids that can't be used, a period that does
    /// not start before its end, another type or major version. What is only implausible (a percentage over 100, a time
    /// that can only be milliseconds or that lies in the future, counters that never reset) is delivered, and a warning is
    /// logged through `tracing`, once for each instance and kind.
    ///
    /// Every attempt sends the identical bytes. Dropping the future gives up; whether the event arrived is then
    /// unknown, and publishing it again is safe.
    ///
    /// # Errors
    /// - [`UsageEventError::SerializationError`]: a figure is infinite or not a number;
    /// - [`UsageEventError::PublishError`]: it is no event that can be sent, or the destination answered and did not take it;
    /// - [`UsageEventError::ConnectionError`]: the destination could not be reached, or its reply never came;
    /// - [`UsageEventError::CircuitBreakerOpen`]: no attempt was made;
    /// - [`UsageEventError::Other`]: settings that make no sense.
    pub async fn publish(&self, event: UsageEvent) -> Result<(), UsageEventError> {
        let delivery = self.delivery()?;
        let encoded = self.accept(event).await?;
        let ending = delivery.deliver(std::slice::from_ref(&encoded)).await.pop();
        ending.map_or_else(|| Err(UsageEventError::Other("the sink reported nothing".to_owned())), result_of)
    }

    /// Publishes `events` in their order and says for each how it went, in the same order. One that fails does not
    /// stop the others; where the destination takes batches, they go in batches.
    pub async fn publish_batch(
        &self,
        events: impl IntoIterator<Item = UsageEvent>,
    ) -> Vec<Result<(), UsageEventError>> {
        let mut results = Vec::new();
        let mut batch: Vec<EncodedEvent> = Vec::new();
        let mut places = Vec::new();
        for event in events {
            let accepted = match self.delivery() {
                Ok(_) => self.accept(event).await,
                Err(error) => Err(error),
            };
            match accepted {
                Ok(encoded) => {
                    places.push(results.len());
                    batch.push(encoded);
                    results.push(Ok(()));
                }
                Err(error) => results.push(Err(error)),
            }
        }
        if let Ok(delivery) = self.delivery() {
            let mut places = places.into_iter();
            for part in parts(&batch, delivery.sink().limits()) {
                for (ending, place) in delivery.deliver(part).await.into_iter().zip(places.by_ref()) {
                    if let Some(result) = results.get_mut(place) {
                        *result = result_of(ending);
                    }
                }
            }
        }
        results
    }

    /// An event that may be sent: its thresholds evaluated, its bytes made. Of what is implausible a warning is logged.
    async fn accept(&self, event: UsageEvent) -> Result<EncodedEvent, UsageEventError> {
        let encoded = EncodedEvent::encode(event)?;
        let event = encoded.event();
        let rules = EventRules::at(self.clock.unix_seconds());
        let Some(implausible) = validate::event_implausible(event, &rules) else {
            let faults: Vec<String> = validate::event_faults(event, &rules).iter().map(ToString::to_string).collect();
            return Err(UsageEventError::PublishError(format!(
                "the event of instance {:?} is not valid and was not sent: {}",
                event.instance_id,
                faults.join("; ")
            )));
        };
        self.warn_of_implausible(event, implausible, &rules);
        if let Some(manager) = &self.thresholds
            && let Err(error) = manager.check_event(event).await
        {
            tracing::error!(instance_id = %event.instance_id, %error, "a threshold's notification failed");
        }
        Ok(encoded)
    }

    fn warn_of_implausible(&self, event: &UsageEvent, implausible: Implausible, rules: &EventRules) {
        let unreported = {
            let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            let found = implausible.union(watch.running_totals(event));
            watch.unreported(event, found, rules)
        };
        warn_of(&unreported, event, None);
    }

    fn delivery(&self) -> Result<&Delivery, UsageEventError> {
        let built = self.delivery.get_or_init(|| self.build().map_err(|error| error.to_string()));
        built.as_ref().map_err(|message| UsageEventError::Other(message.clone()))
    }

    fn build(&self) -> Result<Delivery, UsageEventError> {
        let sink = match (&self.sink, &self.destination) {
            (Some(sink), _) => sink.clone(),
            (None, Err(message)) => return Err(UsageEventError::Other(message.clone())),
            (None, Ok(destination)) => transport::connect(destination, &self.options)
                .map_err(|failure| UsageEventError::Other(failure.message))?
                .into(),
        };
        let retrier = Retrier::with(self.retry.clone(), self.clock.clone(), self.random.clone())?;
        let breaker = self.breaker.clone().transpose()?;
        Ok(Delivery::new(sink, retrier, breaker, self.options.timeout, self.clock.clone()))
    }
}

/// `events` in parts that a sink takes at once.
fn parts(events: &[EncodedEvent], limits: BatchLimits) -> impl Iterator<Item = &[EncodedEvent]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let mut bytes = 0usize;
        let fits = |event: &&EncodedEvent| {
            bytes = bytes.saturating_add(event.body().len());
            bytes <= limits.bytes
        };
        let length = rest.iter().take(limits.events.max(1)).take_while(fits).count().max(1);
        let (part, others) = rest.split_at_checked(length)?;
        rest = others;
        Some(part)
    })
}

fn result_of(ending: Ending) -> Result<(), UsageEventError> {
    let error = |failure: Failure| match failure.reach {
        Reach::Unreached | Reach::Unknown => UsageEventError::ConnectionError(failure.message),
        Reach::Answered | Reach::Refused => UsageEventError::PublishError(failure.message),
    };
    match ending {
        Ending::Delivered { .. } => Ok(()),
        Ending::Deferred(Deferral::Refused(_)) => Err(UsageEventError::CircuitBreakerOpen),
        Ending::Deferred(Deferral::Failed(failure)) | Ending::Dead(failure) | Ending::Misdirected(failure) => {
            Err(error(failure))
        }
    }
}

/// The address that an endpoint, as services write it, stands for.
fn form_destination(endpoint: &str, port: u16, topic: String, sub_topic: u8) -> Result<Destination, String> {
    let trimmed = endpoint.trim();
    let (tls, rest) = match trimmed.split_once("://") {
        None => (false, trimmed),
        Some(("http" | "form", rest)) => (false, rest),
        Some(("https" | "form+https", rest)) => (true, rest),
        Some((scheme, _)) => {
            return Err(format!("the endpoint's scheme {scheme:?} is not one of http and https"));
        }
    };
    let host = rest.trim_end_matches('/');
    let bare_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    let scheme = if tls { "form+https" } else { "form" };
    let url = if bare_v6 { format!("{scheme}://[{host}]/") } else { format!("{scheme}://{host}/") };
    match url.parse() {
        Ok(Destination::Form(address)) => Ok(Destination::Form(FormAddress { port, topic, sub_topic, ..address })),
        Ok(other) => Err(format!("the endpoint {other} is no Form queue")),
        Err(error) => Err(format!("the endpoint can't be used: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(endpoint: &str) -> String {
        form_destination(endpoint, 3003, "usage_events".into(), 7).map_or_else(|error| error, |it| it.to_string())
    }

    #[test]
    fn endpoints_as_services_write_them() {
        for endpoint in ["127.0.0.1", "http://127.0.0.1", "http://127.0.0.1/", " http://127.0.0.1:80 "] {
            assert_eq!(shown(endpoint), "form://127.0.0.1:3003/usage_events?sub_topic=7", "{endpoint}");
        }
        assert_eq!(shown("https://queue.example"), "form+https://queue.example:3003/usage_events?sub_topic=7");
        assert_eq!(shown("::1"), "form://[::1]:3003/usage_events?sub_topic=7");
        assert!(shown("ftp://x").contains("http and https"));
        assert!(shown("").contains("names no host"));
        assert!(!shown("http://joe:hunter2@h").contains("hunter2"));
    }

    #[tokio::test]
    async fn senseless_settings_are_told_by_every_publish() {
        let config = CircuitBreakerConfig { failure_threshold: 0, ..CircuitBreakerConfig::default() };
        let publisher = EventPublisher::new().with_circuit_breaker(config);
        let error = publisher.publish(crate::events::tests::sample()).await.unwrap_err();
        assert_eq!(error.to_string(), "failure_threshold is 0; it must be at least 1");
        assert!(publisher.check().is_err());
    }

    #[test]
    fn is_what_services_need_it_to_be() {
        fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
        fn send<T: Send>(_: &T) {}
        let publisher = EventPublisher::new();
        shared(&publisher);
        send(&publisher.publish(crate::events::tests::sample()));
        send(&publisher.publish_batch(Vec::new()));
    }
}
