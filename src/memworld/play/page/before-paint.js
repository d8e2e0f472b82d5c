// Not a module, so that it runs before the first paint: the page never flashes in the other theme.
try {
  const theme = localStorage.getItem("memworld.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Where nothing can be kept, the system's theme serves.
}
