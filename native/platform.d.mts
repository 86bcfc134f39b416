/** Where the addon lies when it was built on this machine. */
export const addonFile: string;
/** Where node-gyp puts the roofline addon. */
export const rooflineFile: string;
/**
 * The C library of this process with its version, such as "glibc 2.36"; null where it plays no
 * part.
 */
export function libc(): string | null;
/**
 * The npm package that carries the prebuilt addon of this platform, whether it is published or not.
 */
export function prebuiltPackage(): string;
/** One line for people: operating system, architecture, C library, Node and its ABI. */
export function describePlatform(): string;
