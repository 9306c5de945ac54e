// The theme is set before anything is drawn, so that nothing flashes.
(function () {
  const chosen = localStorage.getItem("moonlatch.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
