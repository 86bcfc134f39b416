/** What the requests of one protocol were, how long their answers took, and what went wrong. */
import { Latencies } from "./latency.ts";

/** Of one API or operation. */
export class OperationFigures {
	readonly latencies = new Latencies();
	/** Error codes in answers, by number: a closed table, so there are few. */
	readonly errors = new Map<number, number>();
}

export class RequestFigures {
	/** By the number of the API or operation, which must be one that is served. */
	readonly operations = new Map<number, OperationFigures>();

	/** A request was answered, successfully or not, so many milliseconds after it came. */
	answered(operation: number, ms: number): void {
		this.#of(operation).latencies.add(ms);
	}

	/** An answer tells of an error: that of the request, or of one of the things that it names. */
	failed(operation: number, code: number): void {
		const { errors } = this.#of(operation);
		errors.set(code, (errors.get(code) ?? 0) + 1);
	}

	#of(operation: number): OperationFigures {
		let figures = this.operations.get(operation);
		if (figures === undefined) {
			figures = new OperationFigures();
			this.operations.set(operation, figures);
		}
		return figures;
	}
}
