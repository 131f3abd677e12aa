/**
 * Kommo's widget host, as far as its pages tell: it loads script.js with RequireJS, gives the widget
 * its methods before the constructor runs, then calls render, init and bind_actions in turn.
 *
 * https://www.amocrm.ru/developers/content/integrations/script_js
 * https://developers.kommo.com/docs/salesbot-sdk
 */
(function () {
  'use strict';

  var widgetFolder = '/widget';

  // The widget must not depend on jQuery: it gets an object that refuses every use.
  define('jquery', [], function () {
    return function refuse() {
      throw new Error('The widget uses jQuery, which Kommo replaces without notice.');
    };
  });

  require.config({ baseUrl: widgetFolder, waitSeconds: 5 });

  function hostMethods(manifest, langs) {
    return {
      langs: langs,
      params: { path: widgetFolder },
      i18n: function (key) { return langs[key]; },
      system: function () { return { area: 'salesbot_designer', amouser_id: 1, domain: 'acme.kommo.com' }; },
      get_version: function () { return manifest.widget.version; },
      get_settings: function () { return { widget_code: 'generated', active: 'Y' }; },
      set_settings: function () {},
      $authorizedAjax: function () { throw new Error('The widget calls out of the browser.'); }
    };
  }

  function json(path) {
    return fetch(widgetFolder + '/' + path).then(function (answer) { return answer.json(); });
  }

  function module(name) {
    return new Promise(function (resolve, reject) { require([name], resolve, reject); });
  }

  function start(Widget, methods) {
    Object.assign(Widget.prototype, methods);
    return new Widget();
  }

  /** The widget's callbacks in a page of the locale; 'none' stands for a host without translations. */
  window.loadWidget = function (locale) {
    var langs = locale === 'none' ? Promise.resolve(null) : json('i18n/' + locale + '.json');
    return Promise.all([module('script'), json('manifest.json'), langs]).then(function (parts) {
      var methods = parts[2] ? hostMethods(parts[1], parts[2]) : {};
      window.callbacks = start(parts[0], methods).callbacks;
      return Object.keys(window.callbacks);
    });
  };

  /** As Kommo does it: what does not render is neither started nor bound. */
  window.startWidget = function () {
    return ['render', 'init', 'bind_actions'].map(function (name) { return window.callbacks[name](); });
  };
}());
