window.Redoc.init("/docs/openapi.json", { disableSearch: false, hideDownloadButtons: false }, document.getElementById("reference"));
