// Runs where sound is made: passes on what the microphone gives, as it is.

class Recorder extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) {
      const mono = Float32Array.from(input[0]);
      for (const channel of input.slice(1)) for (let i = 0; i < mono.length; i++) mono[i] += channel[i];
      if (input.length > 1) for (let i = 0; i < mono.length; i++) mono[i] /= input.length;
      this.port.postMessage(mono, [mono.buffer]);
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
