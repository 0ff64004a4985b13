// Work that takes a while: in a worker of the page's own, or in slices where there is none.
(function () {
  "use strict";
  const { numerics, reader } = window.hmmExplore;

  // What can be asked for, by name: generators that yield the share that is done.
  function jobs(split, csv) {
    return {
      *read({ bytes, chosen }) { return csv.meter(new Uint8Array(bytes), chosen); },
      // Chains from the numbers of the appliances and the readings, and the split of each day.
      *split({ appliances, size, x, days }) {
        const lowest = Math.min(...appliances.map(({ watts }) => watts)), rest = split.restOf(x, lowest, size);
        if (!rest) throw new Error(`There are fewer than ${size} different readings so low that no appliance can be on; choose`
          + " fewer levels for the rest.");
        const chains = [...appliances.map(split.described), rest];
        return { ...(yield* split.split(chains, x, days)), rest };
      },
    };
  }
  // The worker's end of it.
  function serve(all) {
    self.onmessage = ({ data: { name, given } }) => {
      try {
        const steps = all[name](given);
        for (;;) {
          const { value, done } = steps.next();
          if (done) return self.postMessage({ answer: value });
          self.postMessage({ share: value });
        }
      } catch (error) { self.postMessage({ error: error.message }); }
    };
  }

  const SLICE = 30; // milliseconds
  // In the page itself, a slice at a time.
  function inSlices(name, given, progress, stop) {
    return new Promise((answered, refused) => {
      const steps = jobs(numerics(), reader())[name](given);
      let over = false;
      stop.now = () => { over = true; };
      (function slice() {
        try {
          for (const until = performance.now() + SLICE; performance.now() < until && !over;) {
            const { value, done } = steps.next();
            if (done) return answered(value);
            progress(value);
          }
          if (!over) setTimeout(slice);
        } catch (error) { refused(error); }
      })();
    });
  }
  let address = null;
  function started() {
    const text = `"use strict";(${serve})((${jobs})((${numerics})(),(${reader})()))`;
    address ??= URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    return new Worker(address);
  }

  // A promise of the answer; `stop.now()` ends the work, and then there is none.
  function work(name, given, progress, stop) {
    let worker;
    try { worker = started(); } catch { return inSlices(name, given, progress, stop); }
    return new Promise((answered, refused) => {
      const end = (then) => (value) => { worker.terminate(); then(value); };
      stop.now = () => worker.terminate();
      worker.onerror = (event) => { // this page may not have workers
        event.preventDefault();
        end(answered)(inSlices(name, given, progress, stop));
      };
      worker.onmessage = ({ data }) => {
        if ("share" in data) progress(data.share);
        else if ("error" in data) end(refused)(new Error(data.error));
        else end(answered)(data.answer);
      };
      worker.postMessage({ name, given });
    });
  }

  Object.assign(window.hmmExplore, { work, inSlices });
})();
