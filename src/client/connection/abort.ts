/** What an aborted signal says; an AbortError unless its owner gave another reason. */
export function abortReason(signal: AbortSignal): unknown {
	return signal.reason;
}

/** `promise`, or the signal's reason if that comes first. What `promise` stands for goes on. */
export function withSignal<Value>(
	promise: Promise<Value>,
	signal: AbortSignal | undefined,
): Promise<Value> {
	if (signal === undefined) return promise;
	return new Promise((resolve, reject) => {
		const aborted = (): void => reject(abortReason(signal));
		if (signal.aborted) {
			promise.catch(() => undefined); // the caller is told of the abort instead
			aborted();
			return;
		}
		signal.addEventListener("abort", aborted, { once: true });
		promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
	});
}
