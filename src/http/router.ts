/** Which method of which path is answered by whom. */
import {
	type HttpHandler,
	type HttpHead,
	type HttpRequest,
	type HttpResponse,
	type Identify,
	NOT_FOUND,
	problem,
} from "./http.ts";

export interface RoutedRequest extends HttpRequest {
	/** What stands in the path, by the name in the route's, decoded. */
	readonly parameters: ReadonlyMap<string, string>;
}

export interface Route {
	/** HEAD is answered as GET is, without the body. */
	readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
	/** The whole path. A segment in braces stands for any one, which is not empty. */
	readonly path: string;
	/** Bytes of the longest body that is read; absent: none is, whatever the client sends. */
	readonly bodyBytesMax?: number;
	/** What is answered at once, before the body is read; undefined: nothing speaks against it. */
	readonly refuse?: (head: HttpHead) => HttpResponse | undefined;
	/** Absent: whoever the connection's certificate names may ask. */
	readonly identify?: Identify;
	readonly answer: (request: RoutedRequest) => HttpResponse | Promise<HttpResponse>;
}

/** What may follow a part of a path, and who answers where it ends. */
interface Node {
	readonly literals: Map<string, Node>;
	any: Node | undefined;
	readonly methods: Map<string, Route>;
}

const NO_PARAMETERS: ReadonlyMap<string, string> = new Map();

/** Answers the routes; 404 elsewhere, and 405 with `Allow` to what a path does not have. */
export function router(routes: readonly Route[]): HttpHandler {
	const root = newNode();
	for (const route of routes) addRoute(root, route);
	return (head) => {
		const { method, path } = head;
		const found = findNode(root, path.split("/"));
		if (found === undefined || found.methods.size === 0) return NOT_FOUND;
		const route = found.methods.get(method === "HEAD" ? "GET" : method);
		if (route === undefined) return notAllowed(found.methods);
		const parameters = parametersOf(route.path, path);
		if (parameters === undefined) return { ...MALFORMED_PATH, route: route.path };
		const refusal = route.refuse?.(head);
		if (refusal !== undefined) return { ...refusal, route: route.path };
		const { bodyBytesMax = 0, identify, answer } = route;
		return {
			route: route.path,
			bodyBytesMax,
			...(identify === undefined ? {} : { identify }),
			answer: (request) => answer({ ...request, parameters }),
		};
	};
}

const MALFORMED_PATH = problem(400, "the path is not percent-encoded UTF-8");

const isParameter = (segment: string): boolean => segment.startsWith("{");

function newNode(): Node {
	return { literals: new Map(), any: undefined, methods: new Map() };
}

function addRoute(root: Node, route: Route): void {
	let node = root;
	for (const segment of route.path.split("/")) {
		if (isParameter(segment)) {
			node.any ??= newNode();
			node = node.any;
			continue;
		}
		const next = node.literals.get(segment) ?? newNode();
		node.literals.set(segment, next);
		node = next;
	}
	node.methods.set(route.method, route);
}

function findNode(root: Node, segments: readonly string[]): Node | undefined {
	let node: Node | undefined = root;
	for (const segment of segments) {
		node = node.literals.get(segment) ?? (segment === "" ? undefined : node.any);
		if (node === undefined) return undefined;
	}
	return node;
}

/** Undefined where a segment is not what percent-encoding makes. */
function parametersOf(template: string, path: string): ReadonlyMap<string, string> | undefined {
	if (!template.includes("{")) return NO_PARAMETERS;
	const segments = path.split("/");
	const parameters = new Map<string, string>();
	try {
		template.split("/").forEach((name, index) => {
			if (!isParameter(name)) return;
			parameters.set(name.slice(1, -1), decodeURIComponent(segments[index] ?? ""));
		});
	} catch {
		return undefined;
	}
	return parameters;
}

function notAllowed(routes: ReadonlyMap<string, Route>): HttpResponse {
	const methods = [...routes.keys()];
	const allow = methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
	const response = problem(405, `only ${allow.join(", ")} here`, { allow: allow.join(", ") });
	const [first] = routes.values();
	return first === undefined ? response : { ...response, route: first.path };
}

/**
 * `/live`: the process runs. `/ready`: it serves; 503 while it starts or stops, so that a balancer
 * looks elsewhere.
 */
export function healthRoutes(isReady: () => boolean): Route[] {
	const ok = { status: 200, body: "ok\n" };
	const notReady = { status: 503, body: "not ready\n" };
	return [
		{ method: "GET", path: "/live", answer: () => ok },
		{ method: "GET", path: "/ready", answer: () => (isReady() ? ok : notReady) },
	];
}
