import { expect, test } from "vitest";

import { nativeConfig } from "../../src/storage/topic-log-config.ts";
import { checkOverrides, topicLogConfig } from "../../src/topics/configuration.ts";
import { BUILT_IN_DEFAULTS } from "../../src/topics/topic-defaults.ts";

/** The writer that a topic with these settings gets. */
function writerOf(settings: Record<string, string>): string {
	return nativeConfig(topicLogConfig(checkOverrides(Object.entries(settings)), BUILT_IN_DEFAULTS))
		.writer;
}

test("blocks are allocated ahead only for topics that ask for it", () => {
	expect(writerOf({})).toBe("pwrite");
	expect(writerOf({ "flush.messages": "1000" })).toBe("pwrite");
	expect(writerOf({ preallocate: "true" })).toBe("automatic");
});
