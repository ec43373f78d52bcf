// fast-check, with an end to every search: the way from a counterexample to a smaller one can take longer than anybody waits, and
// nothing outside can interrupt it. What is found until then is reported.
//   PROPERTY_TESTS=all   twenty times as many cases of each property that does not say how many it takes
import fc from 'fast-check';

fc.configureGlobal({
  // Below the time-out of a test.
  interruptAfterTimeLimit: 45_000,
  markInterruptAsFailure: true,
  ...(process.env.PROPERTY_TESTS === 'all' ? { numRuns: 2_000 } : {}),
});

export default fc;
