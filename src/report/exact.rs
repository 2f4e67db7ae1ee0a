//! Sums of floats that are exact, so that neither the order nor the grouping of what is added shows in them.

/// So many parts of all sums together are kept in place: two for each of four.
const FEW: usize = 8;

/// `N` sums, each kept as parts that do not overlap, so that nothing is rounded until it is asked for (Shewchuk,
/// "Adaptive Precision Floating-Point Arithmetic", 1997; the method of Python's `math.fsum`). Two or three parts a sum
/// are usual. The parts of all sums stand in one list, which needs no allocation while it is short.
///
/// Beyond the range of a float a sum stays at its end.
#[derive(Debug, Clone)]
pub(super) struct ExactSums<const N: usize> {
    parts: Parts,
    /// How many parts each sum has; those of the first sum come first.
    counts: [u16; N],
}

#[derive(Debug, Clone)]
enum Parts {
    /// In place, and how many there are.
    Few([f64; FEW], u8),
    Many(Vec<f64>),
}

impl Parts {
    fn all(&self) -> &[f64] {
        match self {
            Self::Few(parts, count) => parts.get(..usize::from(*count)).unwrap_or_default(),
            Self::Many(parts) => parts,
        }
    }

    fn all_mut(&mut self) -> &mut [f64] {
        match self {
            Self::Few(parts, count) => parts.get_mut(..usize::from(*count)).unwrap_or_default(),
            Self::Many(parts) => parts,
        }
    }

    /// Makes room for one part at `at`.
    fn insert(&mut self, at: usize) {
        match self {
            Self::Few(parts, count) if usize::from(*count) < FEW => {
                parts.copy_within(at..usize::from(*count), at + 1);
                *count += 1;
            }
            Self::Few(parts, _) => {
                let mut many = Vec::with_capacity(FEW + FEW / 2);
                many.extend_from_slice(parts);
                many.insert(at, 0.0);
                *self = Self::Many(many);
            }
            Self::Many(parts) => parts.insert(at, 0.0),
        }
    }

    fn remove(&mut self, from: usize, to: usize) {
        match self {
            Self::Few(parts, count) => {
                parts.copy_within(to..usize::from(*count), from);
                *count -= u8::try_from(to - from).unwrap_or(*count);
            }
            Self::Many(parts) => drop(parts.drain(from..to)),
        }
    }
}

impl<const N: usize> Default for ExactSums<N> {
    fn default() -> Self {
        Self { parts: Parts::Few([0.0; FEW], 0), counts: [0; N] }
    }
}

impl<const N: usize> ExactSums<N> {
    /// Adds `value` to the sum with this number, less than `N`; what is infinite or no number is passed over.
    pub(super) fn add(&mut self, sum: usize, value: f64) {
        if value == 0.0 || !value.is_finite() {
            return;
        }
        let (start, end) = self.place(sum);
        let Some(parts) = self.parts.all_mut().get_mut(start..end) else { return };
        let mut carried = value;
        let mut kept = 0;
        for at in 0..parts.len() {
            let mut part = parts[at];
            if carried.abs() < part.abs() {
                std::mem::swap(&mut carried, &mut part);
            }
            let high = carried + part;
            if !high.is_finite() {
                parts[0] = f64::MAX.copysign(high);
                return self.keep(sum, 1);
            }
            let low = part - (high - carried);
            if low != 0.0 {
                parts[kept] = low;
                kept += 1;
            }
            carried = high;
        }
        if carried == 0.0 {
            return self.keep(sum, kept);
        }
        self.keep(sum, kept + 1);
        if let Some(last) = self.parts.all_mut().get_mut(start + kept) {
            *last = carried;
        }
    }

    /// Adds `value` times `count`, exactly. (A count beyond 2^53 is rounded to a float first.)
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn add_product(&mut self, sum: usize, value: f64, count: u64) {
        let count = count as f64;
        let product = value * count;
        self.add(sum, if product == f64::INFINITY { f64::MAX } else { product });
        self.add(sum, value.mul_add(count, -product));
    }

    /// Adds each sum of others to its own.
    pub(super) fn merge(&mut self, other: &Self) {
        for sum in 0..N {
            other.of(sum).iter().for_each(|part| self.add(sum, *part));
        }
    }

    /// The float that is nearest to the sum with this number.
    pub(super) fn value(&self, sum: usize) -> f64 {
        let mut rest = self.of(sum).iter().rev();
        let Some(&first) = rest.next() else { return 0.0 };
        let (mut sum, mut low) = (first, 0.0);
        let mut next = rest.next();
        while let Some(&part) = next {
            let before = sum;
            sum = before + part;
            low = part - (sum - before);
            next = rest.next();
            if low != 0.0 {
                break;
            }
        }
        // Half-way between two floats, what lies below decides.
        if let Some(&below) = next
            && ((low < 0.0 && below < 0.0) || (low > 0.0 && below > 0.0))
        {
            let doubled = low * 2.0;
            let nudged = sum + doubled;
            if nudged - sum == doubled {
                sum = nudged;
            }
        }
        sum
    }

    /// Where the parts of a sum stand.
    fn place(&self, sum: usize) -> (usize, usize) {
        let start = self.counts.iter().take(sum).map(|count| usize::from(*count)).sum();
        (start, start + self.counts.get(sum).map_or(0, |count| usize::from(*count)))
    }

    fn of(&self, sum: usize) -> &[f64] {
        let (start, end) = self.place(sum);
        self.parts.all().get(start..end).unwrap_or_default()
    }

    /// Leaves the sum its first `count` parts, or gives it one more.
    fn keep(&mut self, sum: usize, count: usize) {
        let (start, end) = self.place(sum);
        if start + count > end {
            self.parts.insert(end);
        } else if start + count < end {
            self.parts.remove(start + count, end);
        }
        if let Some(own) = self.counts.get_mut(sum) {
            *own = u16::try_from(count).unwrap_or(u16::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sums = ExactSums::<1>::default();
        values.iter().for_each(|value| sums.add(0, *value));
        sums.value(0)
    }

    #[test]
    fn nothing_is_rounded_away() {
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[f64::NAN, f64::INFINITY, 2.0]), 2.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(sum(&[1e16, 1.0, 1e-16]), 1.000_000_000_000_000_2e16, "half and a little is up");
        let mut product = ExactSums::<1>::default();
        product.add_product(0, 0.1, 3);
        product.add(0, -0.1);
        product.add_product(0, 0.1, 7);
        product.add(0, 0.1);
        assert_eq!(product.value(0), 1.0);
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_show(
            values in proptest::collection::vec(-1e12..1e12f64, 0..60),
            shuffled in any::<u64>(), cut in 0usize..60,
        ) {
            let expected = sum(&values);
            let mut other = values;
            fastrand::Rng::with_seed(shuffled).shuffle(&mut other);
            let (left, right) = other.split_at(cut.min(other.len()));
            let (mut first, mut second) = (ExactSums::<1>::default(), ExactSums::<1>::default());
            left.iter().for_each(|value| first.add(0, *value));
            right.iter().for_each(|value| second.add(0, *value));
            first.merge(&second);
            prop_assert_eq!(first.value(0), expected);
        }

        /// Sums of one list do not touch each other, however many parts they have.
        #[test]
        fn several_sums_are_as_exact_as_one(
            values in proptest::collection::vec((0usize..4, -1.0..1.0f64, -300i32..300), 0..80),
        ) {
            let values: Vec<(usize, f64)> = values.into_iter().map(|(of, value, e)| (of, value * 2f64.powi(e))).collect();
            let mut sums = ExactSums::<4>::default();
            values.iter().for_each(|(of, value)| sums.add(*of, *value));
            for of in 0..4 {
                let own: Vec<f64> = values.iter().filter(|(it, _)| *it == of).map(|(_, value)| *value).collect();
                prop_assert_eq!(sums.value(of), sum(&own));
            }
        }

        /// Whole bytes as MB: an integer sum is the same.
        #[test]
        fn bytes_add_up_as_integers_do(bytes in proptest::collection::vec(0u64..1 << 40, 0..60)) {
            #[allow(clippy::cast_precision_loss)]
            let mb = |bytes: u64| bytes as f64 / 1_048_576.0;
            let values: Vec<f64> = bytes.iter().map(|bytes| mb(*bytes)).collect();
            prop_assert_eq!(sum(&values), mb(bytes.iter().sum()));
        }
    }
}
