/** What was asked over HTTP, how long answers took, and how much went in and out. */
import { Latencies } from "./latency.ts";

/** Methods that are told of by name where there is no route: clients may make up others. */
const METHODS: ReadonlySet<string> = new Set([
	"DELETE",
	"GET",
	"HEAD",
	"OPTIONS",
	"PATCH",
	"POST",
	"PUT",
]);

/** Stands for requests that come to no route, and for methods that are not told of by name. */
const OTHER = "(other)";

/** The status where a route does not have the method. */
const METHOD_NOT_ALLOWED = 405;

/** One request and its answer. */
export interface HttpExchange {
	/** The path of the route, with its parameters in braces; undefined: there is none. */
	readonly route: string | undefined;
	readonly method: string;
	readonly status: number;
	/** From the head of the request to its answer, in milliseconds. */
	readonly ms: number;
	/** Bytes of the bodies. */
	readonly receivedBytes: number;
	readonly sentBytes: number;
}

/** Of one method of one route. */
export class RouteFigures {
	readonly route: string;
	readonly method: string;
	readonly latencies = new Latencies();
	/** Requests by the class of the answer's status, such as "2xx". */
	readonly statuses = new Map<string, number>();
	receivedBytes = 0;
	sentBytes = 0;

	constructor(route: string, method: string) {
		this.route = route;
		this.method = method;
	}
}

export class HttpFigures {
	/** As many as routes have methods, one more of each path, and a few: paths are never told of. */
	readonly #routes = new Map<string, RouteFigures>();

	/** Every method of a route that somebody has asked for. */
	get routes(): Iterable<RouteFigures> {
		return this.#routes.values();
	}

	/** A request was answered, successfully or not. */
	answered({ route, method, status, ms, receivedBytes, sentBytes }: HttpExchange): void {
		const figures = this.#of(route ?? OTHER, isNamed(method, status) ? method : OTHER);
		figures.latencies.add(ms);
		const statusClass = `${Math.floor(status / 100)}xx`;
		figures.statuses.set(statusClass, (figures.statuses.get(statusClass) ?? 0) + 1);
		figures.receivedBytes += receivedBytes;
		figures.sentBytes += sentBytes;
	}

	#of(route: string, method: string): RouteFigures {
		const name = `${method} ${route}`;
		let figures = this.#routes.get(name);
		if (figures === undefined) {
			figures = new RouteFigures(route, method);
			this.#routes.set(name, figures);
		}
		return figures;
	}
}

/**
 * Not where the route does not have the method: anybody could make series of each method of each
 * route, without a login.
 */
function isNamed(method: string, status: number): boolean {
	return status !== METHOD_NOT_ALLOWED && METHODS.has(method);
}
