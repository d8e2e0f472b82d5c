/**
 * What the server says, as types. Nothing here runs: the other modules name these in their comments.
 *
 * @typedef {{label: string, value: number, keys: string[][]}} ActionKeys
 *   An action, or a value of a column, and its chords: `KeyboardEvent.code` values that are held together.
 * @typedef {{label: string, column: number, continuous: boolean, rest: number, choices: ActionKeys[]}} AxisKeys
 *   A column of an action that is a list of numbers.
 * @typedef {{actions: ActionKeys[], axes: AxisKeys[], rest: any}} Keys
 *   `rest` is the action while no key is held: a number in a discrete world, else one for every column.
 *
 * @typedef {object} Source A memory or a data set. Of one that cannot be opened, numbers, `frame` and more are null.
 * @property {string} name
 * @property {string} title
 * @property {"memory" | "dataset"} kind
 * @property {string} world
 * @property {number} episodes
 * @property {number} steps
 * @property {[number, number, number]} frame height, width, channels
 * @property {boolean} playable
 * @property {string | null} why_not
 * @property {Keys | null} keys
 * @property {Choices | null} settings
 * @property {boolean} map
 * @property {boolean} real
 * @property {string | null} why_not_real
 *
 * @typedef {{strategy: string, [setting: string]: unknown}} Settings How one dream dreams.
 * @typedef {(string | number)[] | {low: number, high: number}} Choice
 * @typedef {object} Choices What a memory's dreams can be set to.
 * @property {Record<string, Record<string, Choice>>} choices by strategy; a setting that is missing is not heeded
 * @property {Record<string, Record<string, unknown>>} defaults by strategy
 * @property {string} usual the strategy of those who choose none
 *
 * @typedef {{version: string, opens: "play" | "browse", sources: Source[]}} About
 * @typedef {{episode: number, step: number, id?: string}} Moment
 * @typedef {{index: number, id: string, steps: number, return: number | null, terminated: boolean | null}} Entry
 * @typedef {object} Episode
 * @property {number} index
 * @property {string} id
 * @property {number} steps
 * @property {number[]} rewards
 * @property {any[]} actions
 * @property {string[]} labels names of the actions of a discrete world, by number
 * @property {boolean} terminated
 * @property {string[]} columns
 *
 * @typedef {{offset: number, height: number, width: number, channels: number}} Picture
 * @typedef {object} Neighbour
 * @property {number} episode
 * @property {string} id
 * @property {number} step
 * @property {number} distance
 * @property {number} weight
 * @property {Picture | null} [thumb]
 * @typedef {object} Found What a search has found.
 * @property {Neighbour[]} found the nearest first
 * @property {number | null} usual distance within which nearly all recorded moments have one of another episode
 * @property {boolean} unlike whether nothing recorded is like what was searched for
 * @property {[number, number] | null} resized height and width of a picture, if it had to be resized
 * @typedef {object} Panel
 * @property {string} title
 * @property {"dream" | "real"} kind
 * @property {Picture} frame
 * @property {number | null} support
 * @property {string} no_support why there is none
 * @property {number} reward
 * @property {number} total
 * @property {number} termination
 * @property {boolean} over
 * @property {boolean} searched
 * @property {[number, number] | null} place
 * @property {Neighbour[]} neighbours
 * @typedef {{points: [number, number][], rows: [number, number][], ids: string[], explained: [number, number]}} MemoryMap
 * @typedef {{name: string, steps: number | null, bytes: number, kind: "mp4" | "episodes"}} Recording
 *   `steps` is null where nothing can tell, as of a video where PyAV is missing.
 */

export {};
