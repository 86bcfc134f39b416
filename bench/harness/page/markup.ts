/** HTML and SVG as text. */

/** What the text of an element, or an attribute in double quotes, may hold. */
export function escapeText(text: string): string {
	const entities: Record<string, string> = {
		"&": "&amp;",
		"<": "&lt;",
		">": "&gt;",
		'"': "&quot;",
	};
	return text.replace(/[&<>"]/g, (character) => entities[character] as string);
}

/** An element; `content` is markup. */
export function element(
	name: string,
	attributes: Readonly<Record<string, string | number>>,
	content = "",
): string {
	const written = Object.entries(attributes).map(
		([key, value]) => ` ${key}="${escapeText(typeof value === "number" ? short(value) : value)}"`,
	);
	return `<${name}${written.join("")}>${content}</${name}>`;
}

/** A text in a drawing. */
export function label(
	x: number,
	y: number,
	text: string,
	anchor: "start" | "middle" | "end" = "start",
	className = "label",
): string {
	const attributes = { x, y, "text-anchor": anchor, class: className };
	return element("text", attributes, escapeText(text));
}

export function line(
	[x1, y1]: readonly [number, number],
	[x2, y2]: readonly [number, number],
	className: string,
): string {
	return element("line", { x1, y1, x2, y2, class: className });
}

/** Hundredths of a pixel are enough. */
function short(value: number): string {
	return String(Math.round(value * 100) / 100);
}
