/**
 * ApiVersions: v0-4.
 *
 * Behavior:
 * - An unknown version is answered in v0's form with UNSUPPORTED_VERSION and the versions of
 *   ApiVersions itself, so that the client can try again; the response header is always v0.
 *
 * Version notes:
 * - v3: client software name and version (KIP-511), refused with INVALID_REQUEST where Kafka
 *   refuses them; features (KIP-584).  v4: feature versions that begin at 0 (KIP-1022).
 */
import { CODES } from "../../protocol/codes.ts";
import { type ApiFacts, type ServedApi, serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	API_VERSIONS,
	type ApiVersionsRequest,
	type ApiVersionsResponse,
} from "../generated/18-api-versions.ts";

/** From here on clients name their software, in this form. */
const SOFTWARE_VERSION = 3;
const SOFTWARE_FORM = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;
/** Before, clients take a feature whose versions begin at 0 for a mistake. */
const FEATURE_ZERO_VERSION = 4;

/** Features by name: the versions that are supported, and the one in force (0: none). */
const FEATURES = [
	{ name: "group.version", minVersion: 0, maxVersion: 1, level: 1 },
	// What Kafka 4.3 calls 3.3-IV3 to 4.3-IV0.
	{ name: "metadata.version", minVersion: 7, maxVersion: 30, level: 30 },
	{ name: "share.version", minVersion: 0, maxVersion: 0, level: 0 },
	{ name: "transaction.version", minVersion: 0, maxVersion: 0, level: 0 },
];
/** Features never change while a broker runs. */
const FEATURES_EPOCH = 0;

export const apiVersionsApi: ServedApi = {
	...serveApi(API_VERSIONS, apiVersions),
	serveUnknownVersion(writer) {
		const errorCode = CODES.UNSUPPORTED_VERSION.code;
		API_VERSIONS.writeResponse(writer, { errorCode, apiKeys: [rangeOf(API_VERSIONS)] }, 0);
	},
};

function apiVersions(request: ApiVersionsRequest, exchange: Exchange): ApiVersionsResponse {
	const { apiVersion, host } = exchange;
	if (apiVersion >= SOFTWARE_VERSION) {
		const { clientSoftwareName, clientSoftwareVersion } = request;
		if (!SOFTWARE_FORM.test(clientSoftwareName) || !SOFTWARE_FORM.test(clientSoftwareVersion)) {
			return { errorCode: CODES.INVALID_REQUEST.code, apiKeys: [] };
		}
	}
	return {
		errorCode: CODES.NONE.code,
		apiKeys: [...host.apis.values()].map(({ facts }) => rangeOf(facts)),
		supportedFeatures: FEATURES.filter(
			({ minVersion }) => minVersion > 0 || apiVersion >= FEATURE_ZERO_VERSION,
		).map(({ name, minVersion, maxVersion }) => ({ name, minVersion, maxVersion })),
		finalizedFeaturesEpoch: FEATURES_EPOCH,
		finalizedFeatures: FEATURES.filter(({ level }) => level > 0).map(({ name, level }) => ({
			name,
			minVersionLevel: level,
			maxVersionLevel: level,
		})),
	};
}

function rangeOf({ key, advertisedFrom, latest }: ApiFacts) {
	return { apiKey: key, minVersion: advertisedFrom, maxVersion: latest };
}
